// gpu_train.h: the op `train` on devices.
#ifndef MILL_BACKEND_GPU_TRAIN_H
#define MILL_BACKEND_GPU_TRAIN_H

#include "backend/gpu_device.h"

// Learns merges by rounds (train.h) on the devices that work. out->complete is false where none could do it
// to the end; the log then tells why.
mill_status mill_gpu_train(mill_gpus *gpus, const mill_train_job *job, mill_train_result *out,
                           mill_error *err) MILL_MUST_CHECK;

#endif
