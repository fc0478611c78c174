// SPDX-License-Identifier: Apache-2.0
// The table of subcommands.
#include "apps/polyphony/command.h"
#include "apps/polyphony/options.h"

namespace polyphony::cli {

Run define_generate(CLI::App& app, Terminal& terminal);
Run define_caption(CLI::App& app, Terminal& terminal);
Run define_chat(CLI::App& app, Terminal& terminal);
Run define_batch(CLI::App& app, Terminal& terminal);
Run define_train(CLI::App& app, Terminal& terminal);
Run define_eval(CLI::App& app, Terminal& terminal);
Run define_study(CLI::App& app, Terminal& terminal);
Run define_convert(CLI::App& app, Terminal& terminal);
Run define_inspect(CLI::App& app, Terminal& terminal);
Run define_forward(CLI::App& app, Terminal& terminal);
Run define_doctor(CLI::App& app, Terminal& terminal);
Run define_completion(CLI::App& app, Terminal& terminal);
Run define_help(CLI::App& app, Terminal& terminal);

namespace {

constexpr Command kCommands[] = {
    {"generate", "Draw a picture from a text, or of a class.",
     "  polyphony generate --prompt 'a large red circle in the centre on white' --output circle.png\n"
     "  polyphony generate --prompt @prompt.txt --count 4 --seed 7 --steps 30 --output draft.png\n"
     "  polyphony generate --from-image circle.png --output again.png\n"
     "  polyphony generate --model dit_moe_xl --class 'golden retriever' --guidance 4 --output dog.png\n"
     "See also: polyphony batch, polyphony inspect circle.png",
     &define_generate},
    {"caption", "Say in words what a picture shows.",
     "  polyphony caption circle.png\n"
     "  polyphony caption *.png --json > captions.json\n"
     "  cat circle.png | polyphony caption -\n"
     "See also: polyphony generate, polyphony batch",
     &define_caption},
    {"chat", "Let a language model go on with a text, or answer.",
     "  polyphony chat --model OLMoE-1B-7B-0924-Instruct --prompt 'What is a mixture of experts?'\n"
     "  polyphony chat --model OLMoE-1B-7B-0924 --prompt @story.txt --temperature 0.8 --top-p 0.95 --seed 7\n"
     "  polyphony chat --model OLMoE-1B-7B-0924-Instruct\n"
     "See also: polyphony inspect, docs/olmoe.md",
     &define_chat},
    {"batch", "Answer many requests from one file; a bad line is reported and passed over.",
     "  polyphony batch jobs.jsonl --output pictures\n"
     "  polyphony batch jobs.jsonl --output pictures --resume\n"
     "  echo '{\"prompt\": \"a small blue square\", \"seed\": 1}' | polyphony batch - --output pictures\n"
     "See also: docs/cli.md for the requests and results",
     &define_batch},
    {"train", "Train a model from a recipe.",
     "  polyphony train configs/train/scenes_joint.toml --output runs/first\n"
     "  polyphony train configs/train/scenes_joint.toml --output runs/first --resume auto\n"
     "  polyphony train configs/train/scenes_joint.toml --set train.learning_rate=1e-3 --dry-run\n"
     "See also: polyphony eval, the comments in configs/",
     &define_train},
    {"eval", "Judge a model on scenes with combinations that it never saw.",
     "  polyphony eval\n"
     "  polyphony eval --model runs/first/model --count 200 --seed 1 --json\n"
     "  polyphony eval --count 12 --samples sheet\n"
     "See also: the model card in configs/default_model/",
     &define_eval},
    {"study", "Try what is claimed about routers, experts and losses on small models.",
     "  polyphony study list\n"
     "  polyphony study run fine_grained --jobs 2\n"
     "  polyphony study all --quick\n"
     "  polyphony study page\n"
     "See also: docs/studies.md, docs/evidence.md",
     &define_study},
    {"convert", "Make a model folder of released weights.",
     "  polyphony convert dit_moe_s_8E2A.pt --preset S/2-8E2A --mode ddpm --vae sd-vae-ft-mse --output dit_moe_s\n"
     "  polyphony convert dit_moe_xl_8E2A.pt --preset XL/2-8E2A --mode rf --output dit_moe_xl\n"
     "  polyphony generate --model dit_moe_s --class 207 --output dog.png\n"
     "  polyphony convert OLMoE-1B-7B-0924 --quantize int4 --output olmoe_int4\n"
     "See also: polyphony inspect, docs/dit_moe.md, docs/olmoe.md",
     &define_convert},
    {"inspect", "Tell what a model folder, weights file or picture holds, and check it completely.",
     "  polyphony inspect configs/default_model\n"
     "  polyphony inspect model.safetensors --json\n"
     "  polyphony inspect circle.png\n"
     "See also: polyphony doctor",
     &define_inspect},
    {"forward", "Run a model once on named tensors, to compare it with another implementation.",
     "  polyphony forward --model vae --input in.safetensors --output out.safetensors\n"
     "  polyphony forward --model vae --input in.safetensors --output out.safetensors --dtype bfloat16\n"
     "  polyphony forward --list\n"
     "See also: polyphony inspect",
     &define_forward},
    {"doctor", "Check this installation: libraries, devices, memory, folders.",
     "  polyphony doctor\n"
     "  polyphony doctor --json\n"
     "  polyphony doctor --device cuda\n"
     "See also: ./run setup",
     &define_doctor},
    {"completion", "Print a completion script for a shell.",
     "  source <(polyphony completion bash)\n"
     "  polyphony completion bash > /etc/bash_completion.d/polyphony\n"
     "  polyphony completion bash | bash -n\n"
     "See also: polyphony help",
     &define_completion},
    {"help", "Show the help of a subcommand.",
     "  polyphony help\n"
     "  polyphony help generate\n"
     "  polyphony generate --help\n"
     "See also: docs/cli.md",
     &define_help},
};

}  // namespace

std::span<const Command> commands() { return kCommands; }

Run define_commands(CLI::App& app, Terminal& terminal) {
  auto runs = std::make_shared<std::vector<std::pair<CLI::App*, Run>>>();
  for (const auto& command : kCommands) {
    auto* sub = app.add_subcommand(command.name, command.summary);
    sub->footer(std::string("\nExamples:\n") + command.examples);
    auto run = command.define(*sub, terminal);
    add_terminal_options(*sub, terminal);
    runs->emplace_back(sub, std::move(run));
  }
  return [runs] {
    for (const auto& [sub, run] : *runs)
      if (sub->parsed()) return run();
    throw UsageError("[polyphony] expected a subcommand, got none");
  };
}

}  // namespace polyphony::cli
