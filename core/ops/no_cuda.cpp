// SPDX-License-Identifier: Apache-2.0
// The CUDA launchers of a build without CUDA: each throws DeviceError.
