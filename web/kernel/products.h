/*
 * Products of features with weights, in numbers of type NUMBER: `products.c` takes this file in once
 * for float64 and once for float32. NAME adds the type to a name.
 */

#define LANES (16 / (int)sizeof(NUMBER))
#define VECTOR NAME(vector)
#define SOME(place) (*(VECTOR *)(place))

typedef NUMBER VECTOR __attribute__((vector_size(16), aligned(sizeof(NUMBER))));

/*
 * Products of four rows of `a` with three of `b`: each number is read once for several products. Of
 * fewer rows the first stands for those that are missing, and its products are dropped.
 */
__attribute__((noinline)) static void NAME(block)(const NUMBER *a, int rows, const NUMBER *b, int columns,
                                            int width, int stride, NUMBER *out, int out_stride) {
  const NUMBER *a1 = rows > 1 ? a + width : a, *a2 = rows > 2 ? a + 2 * width : a;
  const NUMBER *a3 = rows > 3 ? a + 3 * width : a;
  const NUMBER *b1 = columns > 1 ? b + stride : b, *b2 = columns > 2 ? b + 2 * stride : b;
  VECTOR s00 = {0}, s01 = {0}, s02 = {0}, s10 = {0}, s11 = {0}, s12 = {0};
  VECTOR s20 = {0}, s21 = {0}, s22 = {0}, s30 = {0}, s31 = {0}, s32 = {0};
  int i = 0;
  for (; i + LANES <= width; i += LANES) {
    VECTOR x0 = SOME(b + i), x1 = SOME(b1 + i), x2 = SOME(b2 + i), y = SOME(a + i);
    s00 += y * x0, s01 += y * x1, s02 += y * x2, y = SOME(a1 + i);
    s10 += y * x0, s11 += y * x1, s12 += y * x2, y = SOME(a2 + i);
    s20 += y * x0, s21 += y * x1, s22 += y * x2, y = SOME(a3 + i);
    s30 += y * x0, s31 += y * x1, s32 += y * x2;
  }
  const NUMBER *as[] = {a, a1, a2, a3}, *bs[] = {b, b1, b2};
  VECTOR sums[][3] = {{s00, s01, s02}, {s10, s11, s12}, {s20, s21, s22}, {s30, s31, s32}};
  for (int row = 0; row < least(rows, 4); row++) {
    for (int column = 0; column < least(columns, 3); column++) {
      NUMBER sum = 0;
      for (int lane = 0; lane < LANES; lane++) sum += sums[row][column][lane];
      for (int j = i; j < width; j++) sum += as[row][j] * bs[column][j];
      out[row * out_stride + column] = sum;
    }
  }
}

/* out (U x C): units (U x D) times weights (C x D, rows `stride` apart). */
EXPORT(NAME(times))
void NAME(times)(const NUMBER *units, const NUMBER *weights, NUMBER *out, int U, int C, int D, int stride) {
  for (int u = 0; u < U; u += 4) {
    for (int c = 0; c < C; c += 3) {
      NAME(block)(units + u * D, U - u, weights + c * stride, C - c, D, stride, out + u * C + c, C);
    }
  }
}

/* out (C x D): sums of the units, each times its shares (U x C). `out` holds zeros. Four units at a
 * time: each sum is read and written once for them. */
EXPORT(NAME(sums))
void NAME(sums)(const NUMBER *units, const NUMBER *shares, NUMBER *out, int U, int C, int D) {
  for (int u = 0; u < U; u += 4) {
    int n = U - u;
    const NUMBER *a = units + u * D, *a1 = n > 1 ? a + D : a, *a2 = n > 2 ? a1 + D : a;
    const NUMBER *a3 = n > 3 ? a2 + D : a;
    for (int c = 0; c < C; c++) {
      const NUMBER *s = shares + u * C + c;
      NUMBER s0 = s[0], s1 = n > 1 ? s[C] : 0, s2 = n > 2 ? s[2 * C] : 0, s3 = n > 3 ? s[3 * C] : 0;
      NUMBER *to = out + c * D;
      int i = 0;
      for (; i + LANES <= D; i += LANES) {
        SOME(to + i) += s0 * SOME(a + i) + s1 * SOME(a1 + i) + (s2 * SOME(a2 + i) + s3 * SOME(a3 + i));
      }
      for (; i < D; i++) to[i] += s0 * a[i] + s1 * a1[i] + (s2 * a2[i] + s3 * a3[i]);
    }
  }
}

#undef LANES
#undef VECTOR
#undef SOME
#undef NUMBER
#undef NAME
