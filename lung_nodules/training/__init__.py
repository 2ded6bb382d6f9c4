"""How the networks are taught: one visible loop, and what is special to each network beside it."""

from lung_nodules.cuda_library import load_cuda_runtime

load_cuda_runtime()  # before any of these modules imports MONAI
