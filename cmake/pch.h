// SPDX-License-Identifier: Apache-2.0
// The one precompiled header of all targets that see LibTorch (parsing it costs 11 s; reusing it under one).
#pragma once
#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/nn/module.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>
