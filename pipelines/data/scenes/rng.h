// SPDX-License-Identifier: Apache-2.0
// A small random generator whose draws are the same on every machine and standard library.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <utility>

namespace polyphony::scenes {

// One bijective mixing step of 64 bits.
// Source: splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// Source: xoshiro256** (Blackman, Vigna, "Scrambled linear pseudorandom number generators", arXiv:1805.01407).
class Rng {
 public:
  // Streams of one seed with different indices are independent of each other.
  explicit constexpr Rng(uint64_t seed, uint64_t index = 0) {
    uint64_t word = mix64(seed) ^ mix64(~index);
    for (auto& state : state_) state = word = mix64(word);
  }

  constexpr uint64_t next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in [0, bound), bound >= 1, without bias.
  // Source: Lemire, "Fast random integer generation in an interval", arXiv:1805.10941.
  constexpr uint32_t below(uint32_t bound) {
    uint64_t product = (next() >> 32) * bound;
    const uint32_t threshold = (0u - bound) % bound;
    while (static_cast<uint32_t>(product) < threshold) product = (next() >> 32) * bound;
    return static_cast<uint32_t>(product >> 32);
  }

  // True once in `bound` draws on average.
  constexpr bool one_in(uint32_t bound) { return below(bound) == 0; }

  // One element of a non-empty container.
  template <class Container>
  constexpr const auto& pick(const Container& values) {
    return values[below(static_cast<uint32_t>(std::size(values)))];
  }

  template <class Container>
  constexpr void shuffle(Container& values) {
    for (auto i = static_cast<uint32_t>(std::size(values)); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  std::array<uint64_t, 4> state_{};
};

}  // namespace polyphony::scenes
