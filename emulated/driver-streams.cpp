// Streams, events and graphs of the driver API.
#include <chrono>

#include "driver.h"

namespace emulated {

Stream* stream_of(void* handle) {
  // 0 is the default stream, 1 and 2 are its explicit names.
  if (reinterpret_cast<std::uintptr_t>(handle) <= 2) return &driver.default_stream;
  Stream* stream = static_cast<Stream*>(handle);
  return driver.streams.count(stream) > 0 ? stream : nullptr;
}

CUresult enqueue(Stream& stream, Operation operation) {
  if (stream.captured != nullptr) {
    stream.captured->nodes.push_back(std::move(operation));
    return CUDA_SUCCESS;
  }
  // The default stream and those that block it wait for each other.
  if (&stream == &driver.default_stream) {
    const CUresult waited = drain_all(false);
    if (waited != CUDA_SUCCESS) return waited;
  } else if (stream.blocking) {
    const CUresult waited = drain(driver.default_stream);
    if (waited != CUDA_SUCCESS) return waited;
  }
  stream.queue.push_back(std::move(operation));
  return CUDA_SUCCESS;
}

CUresult drain(Stream& stream) {
  while (!stream.queue.empty()) {
    if (driver.broken != CUDA_SUCCESS) return driver.broken;
    const Operation operation = std::move(stream.queue.front());
    stream.queue.pop_front();
    const CUresult result = operation();
    if (result != CUDA_SUCCESS) return result;
  }
  return driver.broken;
}

CUresult drain_all(bool non_blocking_too) {
  CUresult result = drain(driver.default_stream);
  for (Stream* stream : driver.streams) {
    if (result != CUDA_SUCCESS) return result;
    if (stream->blocking || non_blocking_too) result = drain(*stream);
  }
  return result;
}

bool breaks_capture() {
  bool captures = false;
  for (Stream* stream : driver.streams) {
    if (stream->captured == nullptr) continue;
    stream->capture_broken = true;
    captures = true;
  }
  return captures;
}

namespace {

double now_in_milliseconds() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/** Runs the event's stream until the event is reached. */
CUresult reach(Event& event) { return event.pending == 0 ? driver.broken : drain(*event.stream); }

/** Runs `body` with a stream that is not being captured. */
template <typename Body> CUresult with_waiting_stream(void* handle, Body body) {
  return call(Needs::initialised, [&] {
    if (driver.broken != CUDA_SUCCESS) return driver.broken;
    Stream* stream = stream_of(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->captured != nullptr) {
      stream->capture_broken = true;
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return body(*stream);
  });
}

template <typename Body> CUresult with_event(void* handle, Body body) {
  return call(Needs::initialised, [&] {
    if (driver.broken != CUDA_SUCCESS) return driver.broken;
    Event* event = static_cast<Event*>(handle);
    return driver.events.count(event) > 0 ? body(*event) : CUDA_ERROR_INVALID_HANDLE;
  });
}

}  // namespace
}  // namespace emulated

using namespace emulated;

extern "C" {

CUresult cuStreamCreate(void** handle, unsigned flags) {
  return call(Needs::context, [&] {
    Stream* stream = new Stream();
    stream->blocking = (flags & 1) == 0;
    driver.streams.insert(stream);
    driver.counts.streams++;
    *handle = stream;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamDestroy_v2(void* handle) {
  return call(Needs::context, [&] {
    Stream* stream = static_cast<Stream*>(handle);
    if (driver.streams.count(stream) == 0) return CUDA_ERROR_INVALID_HANDLE;
    const CUresult finished = drain(*stream);
    driver.streams.erase(stream);
    driver.counts.streams--;
    delete stream;
    return finished;
  });
}

CUresult cuStreamSynchronize(void* handle) {
  return with_waiting_stream(handle, [](Stream& stream) {
    return &stream == &driver.default_stream ? drain_all(false) : drain(stream);
  });
}

/** Like a device's, the work is still under way when the first question comes. */
CUresult cuStreamQuery(void* handle) {
  return with_waiting_stream(handle, [](Stream& stream) {
    const bool ready = stream.queue.empty();
    const CUresult result = drain(stream);
    return result != CUDA_SUCCESS ? result : ready ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuStreamWaitEvent(void* handle, void* event_handle, unsigned) {
  return call(Needs::context, [&] {
    Stream* stream = stream_of(handle);
    Event* event = static_cast<Event*>(event_handle);
    if (stream == nullptr || driver.events.count(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->captured != nullptr) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return enqueue(*stream, [event] { return driver.events.count(event) == 0 ? CUDA_SUCCESS : reach(*event); });
  });
}

CUresult cuStreamBeginCapture_v2(void* handle, int) {
  return call(Needs::context, [&] {
    Stream* stream = stream_of(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream == &driver.default_stream) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (stream->captured != nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    stream->captured = std::make_unique<Graph>();
    stream->capture_broken = false;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamEndCapture(void* handle, void** graph) {
  return call(Needs::context, [&] {
    Stream* stream = stream_of(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->captured == nullptr) return CUDA_ERROR_ILLEGAL_STATE;
    const std::unique_ptr<Graph> captured = std::move(stream->captured);
    *graph = nullptr;
    if (stream->capture_broken) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    Graph* made = new Graph(std::move(*captured));
    driver.graphs.insert(made);
    driver.counts.graphs++;
    *graph = made;
    return CUDA_SUCCESS;
  });
}

CUresult cuStreamIsCapturing(void* handle, int* status) {
  return call(Needs::context, [&] {
    const Stream* stream = stream_of(handle);
    if (stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    *status = stream->captured == nullptr ? 0 : stream->capture_broken ? 2 : 1;
    return CUDA_SUCCESS;
  });
}

CUresult cuEventCreate(void** handle, unsigned) {
  return call(Needs::context, [&] {
    Event* event = new Event();
    driver.events.insert(event);
    driver.counts.events++;
    *handle = event;
    return CUDA_SUCCESS;
  });
}

CUresult cuEventDestroy_v2(void* handle) {
  return call(Needs::context, [&] {
    Event* event = static_cast<Event*>(handle);
    if (driver.events.erase(event) == 0) return CUDA_ERROR_INVALID_HANDLE;
    driver.counts.events--;
    delete event;
    return CUDA_SUCCESS;
  });
}

CUresult cuEventRecord(void* handle, void* stream_handle) {
  return call(Needs::context, [&] {
    Event* event = static_cast<Event*>(handle);
    Stream* stream = stream_of(stream_handle);
    if (driver.events.count(event) == 0 || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    if (stream->captured != nullptr) return CUDA_SUCCESS;
    event->stream = stream;
    event->recorded = true;
    event->pending++;
    return enqueue(*stream, [event] {
      if (driver.events.count(event) == 0) return CUDA_SUCCESS;
      event->pending--;
      event->milliseconds = now_in_milliseconds();
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuEventQuery(void* handle) {
  return with_event(handle, [](Event& event) {
    const bool ready = event.pending == 0;
    const CUresult result = reach(event);
    return result != CUDA_SUCCESS ? result : ready ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
  });
}

CUresult cuEventSynchronize(void* handle) {
  return with_event(handle, [](Event& event) { return reach(event); });
}

CUresult cuEventElapsedTime(float* milliseconds, void* start_handle, void* end_handle) {
  return with_event(start_handle, [&](Event& start) {
    return with_event(end_handle, [&](Event& end) {
      if (!start.recorded || !end.recorded) return CUDA_ERROR_INVALID_HANDLE;
      if (start.pending > 0 || end.pending > 0) return CUDA_ERROR_NOT_READY;
      *milliseconds = float(end.milliseconds - start.milliseconds);
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuEventElapsedTime_v2(float* milliseconds, void* start, void* end) { return cuEventElapsedTime(milliseconds, start, end); }

CUresult cuGraphInstantiateWithFlags(void** handle, void* graph_handle, unsigned long long) {
  return call(Needs::context, [&] {
    Graph* graph = static_cast<Graph*>(graph_handle);
    if (driver.graphs.count(graph) == 0) return CUDA_ERROR_INVALID_HANDLE;
    Graph* exec = new Graph(*graph);
    driver.graph_execs.insert(exec);
    driver.counts.graph_execs++;
    *handle = exec;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphGetNodes(void* graph_handle, void** nodes, std::size_t* count) {
  return call(Needs::context, [&] {
    Graph* graph = static_cast<Graph*>(graph_handle);
    if (driver.graphs.count(graph) == 0) return CUDA_ERROR_INVALID_HANDLE;
    if (nodes != nullptr) return CUDA_ERROR_NOT_SUPPORTED;
    *count = graph->nodes.size();
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphUpload(void*, void*) { return CUDA_SUCCESS; }

CUresult cuGraphLaunch(void* handle, void* stream_handle) {
  return call(Needs::context, [&] {
    Graph* exec = static_cast<Graph*>(handle);
    Stream* stream = stream_of(stream_handle);
    if (driver.graph_execs.count(exec) == 0 || stream == nullptr) return CUDA_ERROR_INVALID_HANDLE;
    return enqueue(*stream, [exec] {
      if (driver.graph_execs.count(exec) == 0) {
        return fail_for_good(CUDA_ERROR_ILLEGAL_ADDRESS, "a graph was destroyed before the stream came to it");
      }
      for (const Operation& node : exec->nodes) {
        const CUresult result = node();
        if (result != CUDA_SUCCESS) return result;
      }
      return CUDA_SUCCESS;
    });
  });
}

CUresult cuGraphDestroy(void* handle) {
  return call(Needs::context, [&] {
    Graph* graph = static_cast<Graph*>(handle);
    if (driver.graphs.erase(graph) == 0) return CUDA_ERROR_INVALID_HANDLE;
    driver.counts.graphs--;
    delete graph;
    return CUDA_SUCCESS;
  });
}

CUresult cuGraphExecDestroy(void* handle) {
  return call(Needs::context, [&] {
    Graph* exec = static_cast<Graph*>(handle);
    if (driver.graph_execs.erase(exec) == 0) return CUDA_ERROR_INVALID_HANDLE;
    driver.counts.graph_execs--;
    delete exec;
    return CUDA_SUCCESS;
  });
}

}  // extern "C"
