"""The few calls of the CUDA driver API that launching a kernel takes, through ctypes."""

import ctypes

Pointers = ctypes.POINTER(ctypes.c_void_p)


class CudaError(RuntimeError):
    """A driver call that failed, with its name and what the driver says."""


class Driver:
    """The driver library, with a context that other libraries of the process share."""

    def __init__(self, library="libcuda.so.1"):
        try:
            self.library = ctypes.CDLL(library)
        except OSError as error:
            raise CudaError(f"no CUDA driver: {error}") from error
        self.call("cuInit", ctypes.c_uint(0))
        device, context = ctypes.c_int(), ctypes.c_void_p()
        self.call("cuDeviceGet", ctypes.byref(device), ctypes.c_int(0))
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self.call("cuCtxSetCurrent", context)

    def call(self, name, *arguments):
        result = getattr(self.library, name)(*arguments)
        if result != 0:
            text = ctypes.c_char_p()
            self.library.cuGetErrorString(result, ctypes.byref(text))
            raise CudaError(f"{name} failed with {result}: {(text.value or b'no description').decode()}")

    def load(self, image):
        """A module from the bytes of a fat binary, a cubin or PTX."""
        module = ctypes.c_void_p()
        self.call("cuModuleLoadData", ctypes.byref(module), image)
        return module

    def function(self, module, name):
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        return function

    def launch(self, function, call, pointers, stream=None):
        """Launches a kernel: one pointer for each of its buffers, then its parameters as one struct."""
        values = [ctypes.c_void_p(pointer) for pointer in pointers]
        if call.parameters:
            values.append((ctypes.c_char * len(call.parameters)).from_buffer_copy(call.parameters))
        arguments = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        shape = [ctypes.c_uint(size) for size in (*call.grid, *call.block)]
        self.call("cuLaunchKernel", function, *shape, ctypes.c_uint(0), ctypes.c_void_p(stream), arguments, None)

    def allocate(self, size):
        pointer = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(pointer), ctypes.c_size_t(size))
        return pointer.value

    def write(self, pointer, data):
        self.call("cuMemcpyHtoD_v2", ctypes.c_uint64(pointer), data, ctypes.c_size_t(len(data)))

    def read(self, pointer, size):
        data = ctypes.create_string_buffer(size)
        self.call("cuMemcpyDtoH_v2", data, ctypes.c_uint64(pointer), ctypes.c_size_t(size))
        return data.raw

    def free(self, pointer):
        self.call("cuMemFree_v2", ctypes.c_uint64(pointer))


def image_of(folder, manifest):
    """What nvcc made of the package's kernels: machine code, or else PTX. Absent in a package compiled on a machine without nvcc."""
    modules = manifest["modules"]
    image = modules.get("fatbin") or modules.get("ptx")
    if image is None:
        raise CudaError("the package holds no compiled kernels: compile it where nvcc is, or load it with CuPy")
    # PTX is text, which the driver reads up to a zero byte.
    return (folder / image["file"]).read_bytes() + b"\0"
