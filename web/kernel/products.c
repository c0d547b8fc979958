/*
 * Products of matrices, row by row, sixteen bytes at a time: WebAssembly's SIMD. They are what
 * `src/features.js` and `src/eigen.js` do without it. `npm run kernel` compiles this file into
 * `src/kernel-code.js`; it needs clang and lld.
 *
 * The caller lays out the memory. U are units, D features, C classes.
 */

typedef double pair __attribute__((vector_size(16), aligned(8)));
#define PAIR(place) (*(pair *)(place))
#define EXPORT_AS(name) __attribute__((export_name(#name)))
#define EXPORT(name) EXPORT_AS(name)

static int least(int a, int b) { return a < b ? a : b; }

#define NUMBER float
#define NAME(name) name##32
#include "products.h"

#define NUMBER double
#define NAME(name) name##64
#include "products.h"

static double total(pair v) { return v[0] + v[1]; }

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

/* out (U x U): units times units. Twelve rows at a time stay in the cache. */
EXPORT(gram)
void gram(const double *units, double *out, int U, int D) {
  for (int first = 0; first < U; first += 12) {
    for (int c = first; c < U; c += 3) {
      for (int u = first; u < least(first + 12, U); u += 4) {
        block64(units + u * D, U - u, units + c * D, U - c, D, D, out + u * U + c, U);
      }
    }
  }
  for (int u = 0; u < U; u++) {
    for (int c = 0; c < u; c++) out[u * U + c] = out[c * U + u];
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
