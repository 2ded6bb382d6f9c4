"""The MONAI Deploy application: which operator feeds which."""
