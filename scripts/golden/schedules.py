#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# Makes tests/golden/schedules/*.safetensors: timesteps and every sample of diffusers' schedulers under a fake model.
"""Needs torch 2.11, diffusers, safetensors. Usage: scripts/golden/schedules.py [output folder]

Cumulative products are replaced by their f64 values, so that the comparison can be sharp.
"""
import sys
from pathlib import Path

import diffusers.schedulers.scheduling_ddpm as ddpm_module
import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, FlowMatchEulerDiscreteScheduler
from safetensors.torch import save_file

SHAPE = (2, 4, 3, 3)
BETAS = dict(num_train_timesteps=1000, beta_start=1e-4, beta_end=2e-2, beta_schedule="linear")


def fake_model(x, t):
    return 0.3 * x + 0.01 * torch.sin(torch.as_tensor(float(t), dtype=torch.float64))


def exact_products():
    return torch.from_numpy(np.cumprod(1 - np.linspace(1e-4, 2e-2, 1000, dtype=np.float64)))


def run(scheduler, steps, x, step_arguments=lambda i: {}, model=fake_model):
    scheduler.set_timesteps(steps)
    samples = []
    for i, t in enumerate(scheduler.timesteps):
        x = scheduler.step(model(x, t), t, x, **step_arguments(i)).prev_sample
        samples.append(x.double())
    return {"timesteps": scheduler.timesteps.double(), "samples": torch.stack(samples)}


def with_exact_products(scheduler):
    scheduler.alphas_cumprod = exact_products()
    if scheduler.config.get("set_alpha_to_one") is False:
        scheduler.final_alpha_cumprod = scheduler.alphas_cumprod[0]
    return scheduler


def ddim_cases(x, noise):
    def make(**options):
        return with_exact_products(DDIMScheduler(**BETAS, **{"clip_sample": False, **options}))

    yield "ddim_leading", run(make(), 10, x)
    yield "ddim_leading_offset", run(make(steps_offset=1, set_alpha_to_one=False), 7, x)
    yield "ddim_trailing", run(make(timestep_spacing="trailing"), 10, x)
    yield "ddim_linspace", run(make(timestep_spacing="linspace"), 10, x)
    yield "ddim_clip", run(make(clip_sample=True), 10, x)
    yield "ddim_velocity", run(make(prediction_type="v_prediction"), 10, x)
    yield "ddim_sample", run(make(prediction_type="sample"), 10, x)
    yield "ddim_eta_one", run(make(), 10, x, lambda i: dict(eta=1.0, variance_noise=noise[i]))


def ddpm_cases(x, noise):
    def both(x, t):
        return torch.cat([fake_model(x, t), torch.tanh(x)], 1)

    def go(variance_type, model, steps):
        draws = iter(noise)
        ddpm_module.randn_tensor = lambda *args, **kwargs: next(draws)
        return run(with_exact_products(DDPMScheduler(**BETAS, clip_sample=False, variance_type=variance_type)), steps, x, model=model)

    yield "ddpm_fixed_small", go("fixed_small", fake_model, 10)
    yield "ddpm_learned_range", go("learned_range", both, 10)


def dpm_cases(x):
    def make(**options):
        return DPMSolverMultistepScheduler(**BETAS, **options)

    yield "dpm_5", run(make(), 5, x.float())
    yield "dpm_20", run(make(), 20, x.float())
    yield "dpm_20_leading", run(make(timestep_spacing="leading"), 20, x.float())
    yield "dpm_20_trailing", run(make(timestep_spacing="trailing"), 20, x.float())
    yield "dpm_10_velocity", run(make(prediction_type="v_prediction"), 10, x.float())
    yield "dpm_20_karras", run(make(use_karras_sigmas=True), 20, x.float())


def flow_cases(x):
    for shift in (1.0, 3.0):
        scheduler = FlowMatchEulerDiscreteScheduler(shift=shift)
        yield f"flow_shift_{int(shift)}", run(scheduler, 10, x.float())


if __name__ == "__main__":
    torch.set_num_threads(1)
    root = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2] / "tests/golden/schedules")
    root.mkdir(parents=True, exist_ok=True)
    generator = torch.Generator().manual_seed(7)
    start = torch.randn(SHAPE, generator=generator, dtype=torch.float64)
    draws = torch.randn((10, *SHAPE), generator=generator, dtype=torch.float64)
    everything = {"start": start, "noise": draws}
    for cases in (ddim_cases(start, draws), ddpm_cases(start, draws), dpm_cases(start), flow_cases(start)):
        for name, tensors in cases:
            everything.update({f"{name}.{key}": tensor.contiguous() for key, tensor in tensors.items()})
    save_file(everything, root / "schedules.safetensors")
