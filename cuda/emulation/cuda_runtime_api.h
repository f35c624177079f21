// The host's half of CUDA, emulated: see cuda_runtime.h.
#pragma once

#include "cuda_runtime.h"
