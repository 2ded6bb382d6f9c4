"""What the networks are, how a model folder is loaded and on which runtime it runs."""

from lung_nodules.cuda_library import load_cuda_runtime

load_cuda_runtime()  # before any of these modules imports MONAI
