"""Runs the self-test of a CUDA package through the loader's own driver calls, without CuPy or PyTorch.

    python run_on_driver.py LOADER PACKAGE DRIVER-LIBRARY MODULE-IMAGE
"""

import pathlib
import sys

sys.path.insert(0, sys.argv[1])
from cuda_driver import Driver
from package_self_test import run_self_test

package, library, image = pathlib.Path(sys.argv[2]), sys.argv[3], pathlib.Path(sys.argv[4])


class DriverDevice:
    def __init__(self, folder, manifest):
        self.driver = Driver(library)
        self.module = self.driver.load(image.read_bytes())
        self.allocate, self.write, self.read = self.driver.allocate, self.driver.write, self.driver.read

    def launch(self, call, memories):
        self.driver.launch(self.driver.function(self.module, call.kernel), call, memories)


sys.exit(run_self_test(package, DriverDevice))
