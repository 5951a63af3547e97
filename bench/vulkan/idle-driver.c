/*
 * Mesa's RADV as a Vulkan driver that compiles and never runs anything.
 *
 * With RADV_FORCE_FAMILY it offers an AMD GPU that is not there and compiles pipelines for it, but recording or submitting commands would
 * call functions that such a device does not have. WebGPU records some when it opens a device. Here everything that would be recorded,
 * submitted or waited for succeeds and does nothing; the rest goes to RADV.
 */
#include <dlfcn.h>
#include <stdint.h>
#include <string.h>

typedef void (*Function)(void);
typedef Function (*Lookup)(void *owner, const char *name);

static Lookup device_lookup;

static void *radv(const char *name) {
  static void *library;
  if (library == NULL) library = dlopen("libvulkan_radeon.so", RTLD_NOW | RTLD_LOCAL);
  return library == NULL ? NULL : dlsym(library, name);
}

static int succeed(void) { return 0; }

/* Of a timeline that has passed every value that anybody may wait for. */
static int counter(void *device, void *semaphore, uint64_t *value) {
  *value = (uint64_t)1 << 62;
  return 0;
}

static Function idle(const char *name) {
  static const char *const calls[] = {
      "vkBeginCommandBuffer", "vkEndCommandBuffer", "vkResetCommandBuffer", "vkResetCommandPool", "vkQueueSubmit", "vkQueueSubmit2",
      "vkQueueWaitIdle",      "vkDeviceWaitIdle",   "vkWaitForFences",      "vkGetFenceStatus",   "vkWaitSemaphores",
  };
  if (strncmp(name, "vkCmd", 5) == 0) return (Function)succeed;
  if (strcmp(name, "vkGetSemaphoreCounterValue") == 0) return (Function)counter;
  for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
    if (strcmp(name, calls[i]) == 0) return (Function)succeed;
  }
  return NULL;
}

static Function replaced(Function found, const char *name) {
  Function own = idle(name);
  return found != NULL && own != NULL ? own : found;
}

static Function of_device(void *device, const char *name) { return replaced(device_lookup(device, name), name); }

Function vk_icdGetInstanceProcAddr(void *instance, const char *name) {
  Lookup lookup = (Lookup)radv("vk_icdGetInstanceProcAddr");
  Function found = lookup == NULL ? NULL : lookup(instance, name);
  if (found == NULL || strcmp(name, "vkGetDeviceProcAddr") != 0) return replaced(found, name);
  device_lookup = (Lookup)found;
  return (Function)of_device;
}

Function vk_icdGetPhysicalDeviceProcAddr(void *instance, const char *name) {
  Lookup lookup = (Lookup)radv("vk_icdGetPhysicalDeviceProcAddr");
  return lookup == NULL ? NULL : lookup(instance, name);
}

int vk_icdNegotiateLoaderICDInterfaceVersion(uint32_t *version) {
  int (*negotiate)(uint32_t *) = (int (*)(uint32_t *))radv("vk_icdNegotiateLoaderICDInterfaceVersion");
  return negotiate == NULL ? -3 /* VK_ERROR_INITIALIZATION_FAILED */ : negotiate(version);
}
