// The hot loop of networks in the page: a convolution, four neighbouring outputs at a time. `make kernels` compiles it to
// WebAssembly and writes the bytes into kernels.js, whose plain twin computes the same where a browser has no SIMD.
//
// Maps are channels, rows, columns of floats. The map that is read has its border around it and a few floats of room behind
// it, so that four columns can always be loaded at once. Weights are (out, in of the group, kernel height, kernel width).

#include <wasm_simd128.h>

#define AT_ONCE 4 // output channels that share what is loaded

typedef struct {
  int channels, height, width; // what a group reads, its border included
  int kernel_height, kernel_width, stride_y, stride_x, dilation_y, dilation_x;
  int out_height, out_width;
  int relu;
} Shape;

// `count` (1 to 4) output channels that read the same group.
static inline __attribute__((always_inline)) void block(const Shape *s, const float *in, const float *weight,
                                                        const float *bias, float *out, int count) {
  const int plane = s->height * s->width, taps = s->kernel_height * s->kernel_width;
  const int each = s->channels * taps, size = s->out_height * s->out_width;
  for (int y = 0; y < s->out_height; y++) {
    for (int x = 0; x < s->out_width; x += 4) {
      v128_t sum[AT_ONCE];
      for (int k = 0; k < count; k++) sum[k] = wasm_f32x4_splat(bias[k]);
      const float *corner = in + y * s->stride_y * s->width + x * s->stride_x;
      const float *w = weight;
      for (int c = 0; c < s->channels; c++, corner += plane) {
        for (int i = 0; i < s->kernel_height; i++) {
          const float *row = corner + i * s->dilation_y * s->width;
          for (int j = 0; j < s->kernel_width; j++, w++) {
            const float *p = row + j * s->dilation_x;
            const v128_t value = s->stride_x == 1
                                     ? wasm_v128_load(p)
                                     : wasm_f32x4_make(p[0], p[s->stride_x], p[2 * s->stride_x], p[3 * s->stride_x]);
            for (int k = 0; k < count; k++)
              sum[k] = wasm_f32x4_add(sum[k], wasm_f32x4_mul(value, wasm_v128_load32_splat(w + k * each)));
          }
        }
      }
      float *to = out + y * s->out_width + x;
      const int left = s->out_width - x;
      for (int k = 0; k < count; k++, to += size) {
        if (s->relu) sum[k] = wasm_f32x4_max(sum[k], wasm_f32x4_splat(0));
        if (left >= 4) {
          wasm_v128_store(to, sum[k]);
        } else {
          to[0] = wasm_f32x4_extract_lane(sum[k], 0);
          if (left > 1) to[1] = wasm_f32x4_extract_lane(sum[k], 1);
          if (left > 2) to[2] = wasm_f32x4_extract_lane(sum[k], 2);
        }
      }
    }
  }
}

// All output channels of one group; `shape` are the numbers of Shape, in order.
__attribute__((export_name("convolve"))) void convolve(const int *shape, const float *in, const float *weight,
                                                       const float *bias, float *out, int outputs) {
  const Shape s = *(const Shape *)shape;
  const int each = s.channels * s.kernel_height * s.kernel_width, size = s.out_height * s.out_width;
  int k = 0;
  for (; k + AT_ONCE <= outputs; k += AT_ONCE)
    block(&s, in, weight + k * each, bias + k, out + k * size, AT_ONCE);
  for (; k < outputs; k++) block(&s, in, weight + k * each, bias + k, out + k * size, 1);
}
