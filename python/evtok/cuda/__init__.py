"""The same calls on a GPU: what evtok's public functions do with torch CUDA tensors and CuPy arrays.

Nothing here is public. A public function that meets an array on a GPU hands its work to the module of this package that
has its name; the result lies where the input does, and is of its kind. Work is queued on the current stream of the
array's package, and nothing waits for the device but what has to raise an error.
"""
