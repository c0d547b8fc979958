/*
 * Products of float64 matrices, row by row, two numbers at a time: WebAssembly's SIMD. They are what
 * `src/features.js` and `src/eigen.js` do without it. `npm run kernel` compiles this file into
 * `src/kernel-code.js`; it needs clang and lld.
 *
 * The caller lays out the memory. U are units, D features, C classes.
 */

typedef double pair __attribute__((vector_size(16), aligned(8)));
#define PAIR(place) (*(pair *)(place))
#define EXPORT(name) __attribute__((export_name(#name)))

static double total(pair v) { return v[0] + v[1]; }
static int least(int a, int b) { return a < b ? a : b; }

static double dot(const double *a, const double *b, int n) {
  pair even = {0}, odd = {0};
  int i = 0;
  for (; i + 3 < n; i += 4) {
    even += PAIR(a + i) * PAIR(b + i);
    odd += PAIR(a + i + 2) * PAIR(b + i + 2);
  }
  double sum = total(even + odd);
  for (; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void add(double *to, double share, const double *vector, int n) {
  int i = 0;
  for (; i + 1 < n; i += 2) PAIR(to + i) += share * PAIR(vector + i);
  for (; i < n; i++) to[i] += share * vector[i];
}

/*
 * Products of four rows of `a` with three of `b`: each number is read once for several products. Of
 * fewer rows the first stands for those that are missing, and its products are dropped.
 */
__attribute__((noinline)) static void block(const double *a, int rows, const double *b, int columns,
                                            int width, int stride, double *out, int out_stride) {
  const double *a1 = rows > 1 ? a + width : a, *a2 = rows > 2 ? a + 2 * width : a;
  const double *a3 = rows > 3 ? a + 3 * width : a;
  const double *b1 = columns > 1 ? b + stride : b, *b2 = columns > 2 ? b + 2 * stride : b;
  pair s00 = {0}, s01 = {0}, s02 = {0}, s10 = {0}, s11 = {0}, s12 = {0};
  pair s20 = {0}, s21 = {0}, s22 = {0}, s30 = {0}, s31 = {0}, s32 = {0};
  int i = 0;
  for (; i + 1 < width; i += 2) {
    pair x0 = PAIR(b + i), x1 = PAIR(b1 + i), x2 = PAIR(b2 + i), y = PAIR(a + i);
    s00 += y * x0, s01 += y * x1, s02 += y * x2, y = PAIR(a1 + i);
    s10 += y * x0, s11 += y * x1, s12 += y * x2, y = PAIR(a2 + i);
    s20 += y * x0, s21 += y * x1, s22 += y * x2, y = PAIR(a3 + i);
    s30 += y * x0, s31 += y * x1, s32 += y * x2;
  }
  const double *as[] = {a, a1, a2, a3}, *bs[] = {b, b1, b2};
  pair sums[][3] = {{s00, s01, s02}, {s10, s11, s12}, {s20, s21, s22}, {s30, s31, s32}};
  for (int row = 0; row < least(rows, 4); row++) {
    for (int column = 0; column < least(columns, 3); column++) {
      double last = i < width ? as[row][i] * bs[column][i] : 0;
      out[row * out_stride + column] = total(sums[row][column]) + last;
    }
  }
}

/* out (U x C): units (U x D) times weights (C x D, rows `stride` apart). */
EXPORT(times)
void times(const double *units, const double *weights, double *out, int U, int C, int D, int stride) {
  for (int u = 0; u < U; u += 4) {
    for (int c = 0; c < C; c += 3) {
      block(units + u * D, U - u, weights + c * stride, C - c, D, stride, out + u * C + c, C);
    }
  }
}

/* out (U x U): units times units. Twelve rows at a time stay in the cache. */
EXPORT(gram)
void gram(const double *units, double *out, int U, int D) {
  for (int first = 0; first < U; first += 12) {
    for (int c = first; c < U; c += 3) {
      for (int u = first; u < least(first + 12, U); u += 4) {
        block(units + u * D, U - u, units + c * D, U - c, D, D, out + u * U + c, U);
      }
    }
  }
  for (int u = 0; u < U; u++) {
    for (int c = 0; c < u; c++) out[u * U + c] = out[c * U + u];
  }
}

/* out (C x D): sums of the units, each times its shares (U x C). `out` holds zeros. Four units at a
 * time: each sum is read and written once for them. */
EXPORT(sums)
void sums(const double *units, const double *shares, double *out, int U, int C, int D) {
  for (int u = 0; u < U; u += 4) {
    int n = U - u;
    const double *a = units + u * D, *a1 = n > 1 ? a + D : a, *a2 = n > 2 ? a1 + D : a;
    const double *a3 = n > 3 ? a2 + D : a;
    for (int c = 0; c < C; c++) {
      const double *s = shares + u * C + c;
      double s0 = s[0], s1 = n > 1 ? s[C] : 0, s2 = n > 2 ? s[2 * C] : 0, s3 = n > 3 ? s[3 * C] : 0;
      double *to = out + c * D;
      int i = 0;
      for (; i + 1 < D; i += 2) {
        PAIR(to + i) += s0 * PAIR(a + i) + s1 * PAIR(a1 + i) + (s2 * PAIR(a2 + i) + s3 * PAIR(a3 + i));
      }
      for (; i < D; i++) to[i] += s0 * a[i] + s1 * a1[i] + (s2 * a2[i] + s3 * a3[i]);
    }
  }
}

/* `tridiagonal` of `src/eigen.js`; `work` has room for 2n numbers, `turn` holds zeros. */
EXPORT(tridiagonal)
void tridiagonal(double *matrix, double *turn, double *diagonal, double *beside, double *work, int n) {
  double *product = work, *scales = work + n;
  for (int k = 0; k < n - 2; k++) {
    double *mirror = matrix + k * n + k + 1;
    int size = n - k - 1;
    double length = __builtin_sqrt(dot(mirror, mirror, size));
    diagonal[k] = matrix[k * n + k];
    beside[k] = scales[k] = 0;
    if (length == 0) continue;
    beside[k] = mirror[0] > 0 ? -length : length;
    mirror[0] -= beside[k];
    double scale = scales[k] = 2 / dot(mirror, mirror, size);
    for (int i = 0; i < size; i++) {
      product[i] = scale * dot(matrix + (k + 1 + i) * n + k + 1, mirror, size);
    }
    add(product, -(scale / 2) * dot(product, mirror, size), mirror, size);
    for (int i = 0; i < size; i++) {
      double *row = matrix + (k + 1 + i) * n + k + 1, a = mirror[i], b = product[i];
      int j = 0;
      for (; j + 1 < size; j += 2) PAIR(row + j) -= a * PAIR(product + j) + b * PAIR(mirror + j);
      for (; j < size; j++) row[j] -= a * product[j] + b * mirror[j];
    }
  }
  for (int k = n > 2 ? n - 2 : 0; k < n; k++) diagonal[k] = matrix[k * n + k];
  if (n > 1) beside[n - 2] = matrix[(n - 2) * n + n - 1];
  for (int i = 0; i < n; i++) turn[i * n + i] = 1;
  for (int k = n - 3; k >= 0; k--) {
    double *mirror = matrix + k * n + k + 1;
    int size = n - k - 1;
    for (int i = k + 1; scales[k] != 0 && i < n; i++) {
      double *row = turn + i * n + k + 1;
      add(row, -scales[k] * dot(row, mirror, size), mirror, size);
    }
  }
}

/* Rotate two neighbouring rows of n numbers. */
EXPORT(rotate)
void rotate(double *lower, double sine, double cosine, int n) {
  double *upper = lower + n;
  int j = 0;
  for (; j + 1 < n; j += 2) {
    pair a = PAIR(lower + j), b = PAIR(upper + j);
    PAIR(upper + j) = sine * a + cosine * b;
    PAIR(lower + j) = cosine * a - sine * b;
  }
  for (; j < n; j++) {
    double a = lower[j], b = upper[j];
    upper[j] = sine * a + cosine * b;
    lower[j] = cosine * a - sine * b;
  }
}

/*
 * `timesInverseHessian` of `src/descent.js` on `product`: of `count` steps and the gradient's change
 * over each, in rings of `room` rows of n numbers, the oldest in row `first`. `shares` has room for
 * `count` + 1 numbers.
 */
EXPORT(inverse)
void inverse(const double *steps, const double *changes, double *product, double *shares, int room,
             int first, int count, int n) {
  for (int i = count - 1; i >= 0; i--) {
    const double *step = steps + (first + i) % room * n, *change = changes + (first + i) % room * n;
    shares[i] = dot(step, product, n) / dot(step, change, n);
    add(product, -shares[i], change, n);
    if (i < count - 1) continue;
    shares[count] = dot(step, change, n) / dot(change, change, n);
  }
  for (int j = 0; count && j < n; j++) product[j] *= shares[count];
  for (int i = 0; i < count; i++) {
    const double *step = steps + (first + i) % room * n, *change = changes + (first + i) % room * n;
    add(product, shares[i] - dot(change, product, n) / dot(step, change, n), step, n);
  }
}
