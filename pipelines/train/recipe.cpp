// SPDX-License-Identifier: Apache-2.0
#include "pipelines/train/recipe.h"

namespace polyphony::pipelines {

TrainRecipe train_recipe(const Config& config) {
  TrainRecipe r;
  const auto run = config.section("run");
  r.output = run.required_text("output");
  r.seed = static_cast<uint64_t>(run.integer("seed", 0, {0, int64_t{1} << 53}));
  const auto t = config.section("train");
  r.bf16 = t.flag("bf16", true);
  r.max_steps = t.required_integer("max_steps", {1, 100'000'000});
  r.logging_steps = t.integer("logging_steps", 20, {1, 1'000'000});
  r.save_steps = t.integer("save_steps", 1000, {1, 100'000'000});
  r.save_total_limit = t.integer("save_total_limit", 2, {1, 1000});
  r.sample_minutes = t.number("sample_minutes", 5, {.min = 0});
  r.max_skipped_steps = t.integer("max_skipped_steps", 20, {0, 1'000'000});
  r.schedule = {.type = t.text("lr_scheduler_type", "cosine", {"constant", "cosine", "wsd"}),
                .learning_rate = t.number("learning_rate", 1e-3, {.above = 0}),
                .min_lr_factor = t.number("min_lr_factor", 0.01, {.min = 0, .max = 1}),
                .warmup_steps = t.integer("warmup_steps", 200, {0, 100'000'000}),
                .total_steps = r.max_steps,
                .decay_ratio = t.number("decay_ratio", 0.2, {.max = 1, .above = 0})};
  r.optimizer = {.beta1 = t.number("adam_beta1", 0.9, {.min = 0, .below = 1}),
                 .beta2 = t.number("adam_beta2", 0.95, {.min = 0, .below = 1}),
                 .eps = t.number("adam_epsilon", 1e-8, {.above = 0}),
                 .weight_decay = t.number("weight_decay", 0.0, {.min = 0}),
                 .max_grad_norm = t.number("max_grad_norm", 1.0, {.min = 0}),
                 .ema_decay = t.number("ema_decay", 0.999, {.min = 0, .below = 1}),
                 .bf16_copies = t.flag("bf16_copies", true)};
  return r;
}

}  // namespace polyphony::pipelines
