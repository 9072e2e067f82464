"""What a run needs of devices, hosts and disk, counted before anything is started.

Sizes come from the model's own config: it is made on the meta device, where tensors have shapes and
no memory, and its passes are run there. No GPU is needed, and no weights.
"""
