import { dot } from "./features.js";
import { kernel } from "./kernel.js";

/**
 * Eigenvalues and eigenvectors of a symmetric matrix, in float64: Householder's reflections make it
 * tridiagonal, QL steps with implicit shifts make that diagonal (Golub & Van Loan 2013, Matrix
 * Computations, sections 8.3.1 and 8.3.3).
 *
 * `matrix` is n x n, row by row, and is overwritten. Gives `values` (n) in no order, and `vectors`
 * (n x n), row i of which belongs to value i.
 */
export function symmetricEigen(matrix, n) {
  const turned = kernel()?.tridiagonal(matrix, n) ?? tridiagonal(matrix, n);
  const { diagonal, beside, rotate } = turned;
  for (let first = 0; first < n; first++) {
    for (;;) {
      let last = first;
      while (last < n - 1) {
        const size = Math.abs(diagonal[last]) + Math.abs(diagonal[last + 1]);
        if (Math.abs(beside[last]) <= Number.EPSILON * size) break;
        last++;
      }
      if (last === first) break;
      step(diagonal, beside, first, last, rotate);
    }
  }
  return { values: diagonal, vectors: turned.vectors() };
}

/** The tridiagonal matrix, `diagonal` and `beside` (of i: between i and i + 1), and the turn to it:
 * `rotate(i, sine, cosine)` turns its rows i and i + 1, `vectors()` gives all of them. */
function tridiagonal(matrix, n) {
  const diagonal = new Float64Array(n);
  const beside = new Float64Array(n);
  const row = (i) => matrix.subarray(i * n, (i + 1) * n);
  const product = new Float64Array(n);
  const scales = new Float64Array(n);
  for (let k = 0; k < n - 2; k++) {
    // The reflection that leaves of row k only its first number beside the diagonal.
    const mirror = row(k).subarray(k + 1);
    const length = norm(mirror);
    diagonal[k] = matrix[k * n + k];
    if (length === 0) continue;
    const onto = mirror[0] > 0 ? -length : length;
    beside[k] = onto;
    mirror[0] -= onto;
    const scale = 2 / norm(mirror) ** 2;
    scales[k] = scale;
    const size = n - k - 1;
    for (let i = 0; i < size; i++) {
      product[i] = scale * dot(row(k + 1 + i).subarray(k + 1), mirror, size);
    }
    const half = (scale / 2) * dot(product, mirror, size);
    for (let i = 0; i < size; i++) product[i] -= half * mirror[i];
    for (let i = 0; i < size; i++) {
      const other = row(k + 1 + i).subarray(k + 1);
      const a = mirror[i];
      const b = product[i];
      for (let j = 0; j < size; j++) other[j] -= a * product[j] + b * mirror[j];
    }
  }
  for (let k = Math.max(0, n - 2); k < n; k++) diagonal[k] = matrix[k * n + k];
  if (n > 1) beside[n - 2] = matrix[(n - 2) * n + n - 1];
  const turn = new Float64Array(n * n);
  for (let i = 0; i < n; i++) turn[i * n + i] = 1;
  for (let k = n - 3; k >= 0; k--) {
    if (!scales[k]) continue;
    const mirror = row(k).subarray(k + 1);
    const size = n - k - 1;
    for (let i = k + 1; i < n; i++) {
      const other = turn.subarray(i * n + k + 1, (i + 1) * n);
      const share = scales[k] * dot(other, mirror, size);
      for (let j = 0; j < size; j++) other[j] -= share * mirror[j];
    }
  }
  const rotate = (i, sine, cosine) => {
    const lower = turn.subarray(i * n, (i + 1) * n);
    const upper = turn.subarray((i + 1) * n, (i + 2) * n);
    for (let j = 0; j < n; j++) {
      const a = lower[j];
      const b = upper[j];
      upper[j] = sine * a + cosine * b;
      lower[j] = cosine * a - sine * b;
    }
  };
  return { diagonal, beside, rotate, vectors: () => turn };
}

/** One QL step on the rows and columns from `first` to `last`, by rotations of neighbours. */
function step(diagonal, beside, first, last, rotate) {
  const half = (diagonal[first + 1] - diagonal[first]) / (2 * beside[first]);
  const root = half < 0 ? -Math.hypot(half, 1) : Math.hypot(half, 1);
  let carried = diagonal[last] - diagonal[first] + beside[first] / (half + root);
  let sine = 1;
  let cosine = 1;
  let moved = 0;
  for (let i = last - 1; i >= first; i--) {
    const bulge = sine * beside[i];
    const rest = cosine * beside[i];
    const length = Math.hypot(bulge, carried);
    beside[i + 1] = length;
    if (length === 0) {
      diagonal[i + 1] -= moved;
      beside[last] = 0;
      return;
    }
    sine = bulge / length;
    cosine = carried / length;
    const corner = diagonal[i + 1] - moved;
    const change = (diagonal[i] - corner) * sine + 2 * cosine * rest;
    moved = sine * change;
    diagonal[i + 1] = corner + moved;
    carried = cosine * change - rest;
    rotate(i, sine, cosine);
  }
  diagonal[first] -= moved;
  beside[first] = carried;
  beside[last] = 0;
}

function norm(vector) {
  return Math.sqrt(dot(vector, vector));
}
