"""What MONAI Deploy's Workflow Manager asks of a clinical workflow, as checks that need no Workflow Manager."""
