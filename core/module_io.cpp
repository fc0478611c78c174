// SPDX-License-Identifier: Apache-2.0
// Between tensors and modules: state_of and load_into.
#include <ATen/core/grad_mode.h>

#include <set>

#include "core/check.h"
#include "core/tensor_files.h"
#include "core/tensor_io.h"

namespace polyphony {
namespace {

constexpr size_t kNamesShown = 12;

struct NamedTensor {
  std::string name;
  at::Tensor tensor;
};

// Parameters, then buffers, under every name that the module knows them by.
std::vector<NamedTensor> named_state(const torch::nn::Module& module) {
  std::vector<NamedTensor> state;
  for (const auto& item : module.named_parameters()) state.push_back({item.key(), item.value()});
  for (const auto& item : module.named_buffers()) state.push_back({item.key(), item.value()});
  std::erase_if(state, [](const NamedTensor& entry) { return !entry.tensor.defined(); });
  return state;
}

std::string misfit(const NamedTensor& wanted, const OfferedTensor& offered) {
  if (wanted.tensor.sizes() != at::IntArrayRef(offered.shape)) {
    return join(wanted.name, " (expected shape ", wanted.tensor.sizes(), ", got ", at::IntArrayRef(offered.shape), ")");
  }
  if (c10::isFloatingType(offered.dtype) && !wanted.tensor.is_floating_point()) {
    return join(wanted.name, " (expected ", c10::toString(wanted.tensor.scalar_type()), ", got ",
                c10::toString(offered.dtype), ")");
  }
  return {};
}

LoadReport load_offer(const std::vector<NamedTensor>& state, std::string_view owner, const TensorOffer& offer,
                      const LoadOptions& options) {
  std::set<const c10::TensorImpl*> reached;
  std::set<std::string> names;
  std::vector<std::string> misfits;
  for (const NamedTensor& wanted : state) {
    names.insert(wanted.name);
    const auto found = offer.find(wanted.name);
    if (found == offer.end()) continue;
    reached.insert(wanted.tensor.unsafeGetTensorImpl());
    if (std::string text = misfit(wanted, found->second); !text.empty()) misfits.push_back(std::move(text));
  }
  LoadReport report;
  for (const NamedTensor& wanted : state) {
    if (!reached.contains(wanted.tensor.unsafeGetTensorImpl())) report.missing.push_back(wanted.name);
  }
  for (const auto& [name, offered] : offer) {
    if (!names.contains(name)) report.unexpected.push_back(name);
  }

  std::string trouble;
  const auto tell = [&](std::string_view what, const std::vector<std::string>& which) {
    if (!which.empty()) trouble += join(trouble.empty() ? "" : "; ", what, " ", name_list(which));
  };
  if (options.strict) {
    tell("missing", report.missing);
    tell("unexpected", report.unexpected);
  }
  tell("not fitting", misfits);
  check<DataError>(trouble.empty(), "[load_into] expected the tensors of ", owner,
                   options.prefix.empty() ? "" : " under prefix '" + options.prefix + "'", ": ", trouble);

  const at::NoGradGuard no_grad;
  for (const NamedTensor& wanted : state) {
    const auto found = offer.find(wanted.name);
    if (found != offer.end()) wanted.tensor.detach().copy_(found->second.read());
  }
  return report;
}

}  // namespace

std::string name_list(const std::vector<std::string>& names) {
  std::string text = std::to_string(names.size()) + ":";
  for (size_t i = 0; i < names.size() && i < kNamesShown; ++i) {
    text += (i == 0 ? " " : ", ") + printable(names[i]);
  }
  return names.size() > kNamesShown ? text + ", ..." : text;
}

TensorMap state_of(const torch::nn::Module& module) {
  TensorMap tensors;
  std::set<const c10::TensorImpl*> seen;
  for (const NamedTensor& entry : named_state(module)) {
    if (seen.insert(entry.tensor.unsafeGetTensorImpl()).second) tensors.emplace(entry.name, entry.tensor.detach());
  }
  return tensors;
}

LoadReport load_into(torch::nn::Module& module, const TensorMap& tensors, const LoadOptions& options) {
  TensorOffer offer;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with(options.prefix)) continue;
    check<DataError>(tensor.defined(), "[load_into] tensor '", printable(name), "': expected a defined tensor");
    offer.emplace(name.substr(options.prefix.size()),
                  OfferedTensor{tensor.sizes().vec(), tensor.scalar_type(), [&tensor] { return tensor; }});
  }
  return load_offer(named_state(module), module.name(), offer, options);
}

namespace {

LoadReport load_file(const std::vector<NamedTensor>& state, std::string_view owner, const std::filesystem::path& path,
                     const LoadOptions& options) {
  const auto set = formats::SafetensorsSet::open(path);
  TensorOffer offer;
  for (const auto& [name, entry] : set.entries()) {
    if (!name.starts_with(options.prefix)) continue;
    offer.emplace(name.substr(options.prefix.size()),
                  OfferedTensor{entry.tensor.shape, to_tensor_dtype(entry.tensor.dtype),
                                [&set, &entry = entry] { return read_tensor(set, entry); }});
  }
  return load_offer(state, owner, offer, options);
}

}  // namespace

LoadReport load_into(torch::nn::Module& module, const std::filesystem::path& path, const LoadOptions& options) {
  return load_file(named_state(module), module.name(), path, options);
}

namespace {

std::vector<NamedTensor> named(const TensorMap& targets) {
  std::vector<NamedTensor> state;
  for (const auto& [name, tensor] : targets) state.push_back({name, tensor});
  return state;
}

}  // namespace

LoadReport load_into(const TensorMap& targets, std::string_view owner, const std::filesystem::path& path,
                     const LoadOptions& options) {
  return load_file(named(targets), owner, path, options);
}

LoadReport load_into(const TensorMap& targets, std::string_view owner, const TensorOffer& offer,
                     const LoadOptions& options) {
  return load_offer(named(targets), owner, offer, options);
}

}  // namespace polyphony
