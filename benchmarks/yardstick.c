/* A yardstick for the displacement-slice recursion (docs/method.md), float32, one core.
 *
 * It does the arithmetic of one pair of images and one rotation - 3x3 SAME convolutions with Relu, NNGP and NTK together,
 * 16 images x' as SIMD lanes - with made-up data, and prints nanoseconds per entry and layer. There are P^2 = (H*W)^2
 * entries a layer. It is no kernel library: it exists so that a Numba kernel can be timed in the same minute, on the same
 * machine, against a plain C loop that the compiler vectorises.
 *
 *   gcc -O3 -march=native -ffast-math -mprefer-vector-width=512 yardstick.c -o yardstick -lm && ./yardstick 28
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define V 16
#define LAYERS 5
#define CHANNELS 3
typedef float f;
static const f PI = 3.14159265f, SCALE = 1 / (2 * 3.14159265f) / 9;
/* arccos(a) = sqrt(1-a) P(a) and sqrt(1+a) = Q(a) on [0,1] */
static const f P[8] = {1.5707963f, -0.2145988f, 0.0889790f, -0.0501743f, 0.0308918f, -0.0170881f, 0.0066700f, -0.0012624f};
static const f Q[8] = {1.f, .4999997f, -.12498f, .0621f, -.0366f, .0189f, -.0069f, .0012f};

static inline f poly(const f *c, f a) { return c[0]+a*(c[1]+a*(c[2]+a*(c[3]+a*(c[4]+a*(c[5]+a*(c[6]+a*c[7])))))); }

static void relu(const f *restrict g0, const f *restrict g1, const f *restrict g2, const f *restrict u0, const f *restrict u1,
                 const f *restrict u2, const f *restrict s1, const f *restrict i1, const f *restrict s2, const f *restrict i2,
                 f *restrict K, f *restrict T, int n) {
    for (int j = 0; j < n; j++) {
        f k = g0[j] + g1[j] + g2[j], t = u0[j] + u1[j] + u2[j] + k, s = s1[j] * s2[j], r = k * (i1[j] * i2[j]);
        f a = fabsf(r);
        a = a < 1.f ? a : 1.f;
        f u = sqrtf(1.f - a), ac = u * poly(P, a), q = r >= 0 ? PI - ac : ac;
        K[j] = s * (u * poly(Q, a) + r * q);
        T[j] = t * (q * SCALE);
    }
}

static void hsum(const f *restrict a, f *restrict b, int n) { for (int j = 0; j < n; j++) b[j] = a[j] + a[j + V] + a[j + 2 * V]; }

int main(int argc, char **argv) {
    int H = argc > 1 ? atoi(argv[1]) : 28, row = (H + 2) * V, srow = H * V;
    f *x = calloc(H * H * CHANNELS, 4), *y = calloc(H * H * CHANNELS * V, 4), *sd = calloc(LAYERS * H * H * V, 4);
    f *K = calloc(H * row, 4), *T = calloc(H * row, 4), *G = calloc((H + 2) * srow, 4), *U = calloc((H + 2) * srow, 4);
    for (int i = 0; i < H * H * CHANNELS; i++) x[i] = drand48() - .5;
    for (int i = 0; i < H * H * CHANNELS * V; i++) y[i] = drand48() - .5;
    for (int i = 0; i < LAYERS * H * H * V; i++) sd[i] = .3;
    double best = 1e9, sum = 0;
    for (int rep = 0; rep < 5; rep++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        for (int dy = 1 - H; dy < H; dy++) for (int dx = 1 - H; dx < H; dx++) {
            int y0 = dy < 0 ? -dy : 0, x0 = dx < 0 ? -dx : 0, h = H - abs(dy), w = H - abs(dx), n = w * V;
            for (int i = 0; i < h; i++) {
                f *k = K + i * row, *t = T + i * row;
                memset(k, 0, V * 4); memset(k + V + n, 0, V * 4); memset(t, 0, (n + 2 * V) * 4);
                for (int j = 0; j < w; j++) {
                    f *p = x + ((y0 + i) * H + x0 + j) * CHANNELS, *q = y + ((y0 + i + dy) * H + x0 + j + dx) * CHANNELS * V;
                    for (int v = 0; v < V; v++) { f s = 0; for (int c = 0; c < CHANNELS; c++) s += p[c] * q[c * V + v]; k[(j + 1) * V + v] = s; }
                }
            }
            memset(G, 0, n * 4); memset(U, 0, n * 4); memset(G + (h + 1) * srow, 0, n * 4); memset(U + (h + 1) * srow, 0, n * 4);
            for (int l = 0; l < LAYERS; l++) {
                for (int i = 0; i < h; i++) { hsum(K + i * row, G + (i + 1) * srow, n); hsum(T + i * row, U + (i + 1) * srow, n); }
                for (int i = 0; i < h; i++) {
                    f *g = G + i * srow, *u = U + i * srow, *s1 = sd + (l * H + y0 + i) * srow + x0 * V, *s2 = sd + (l * H + y0 + i + dy) * srow + (x0 + dx) * V;
                    relu(g, g + srow, g + 2 * srow, u, u + srow, u + 2 * srow, s1, s1, s2, s2, K + i * row + V, T + i * row + V, n);
                }
            }
            for (int i = 0; i < h; i++) for (int j = 0; j < n; j++) sum += K[i * row + V + j] + T[i * row + V + j];
        }
        clock_gettime(CLOCK_MONOTONIC, &b);
        double d = b.tv_sec - a.tv_sec + 1e-9 * (b.tv_nsec - a.tv_nsec);
        if (d < best) best = d;
    }
    printf("H %d: %.3f ms per pair and rotation, %.3f ns per entry and layer (checksum %g)\n", H, best / V * 1e3, best / ((double)H * H * H * H * V * LAYERS) * 1e9, sum);
}
