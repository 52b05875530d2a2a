// What depends on a single image: one block an image.

// Variances below each step and, in pairs, roots and reciprocals after each convolution, at every position.
template <class T>
__global__ void __launch_bounds__(256) variance_maps(
    const T* __restrict__ pixels, const int* __restrict__ sizes, const int* __restrict__ table,
    const T* __restrict__ weights, const T* __restrict__ biases, const T* __restrict__ constants, T* maps)
{
    const int height = sizes[HEIGHT], width = sizes[WIDTH], channels = sizes[CHANNELS], area = height * width;
    pixels += (long long)blockIdx.x * channels * area;
    maps += (long long)blockIdx.x * sizes[MAP_SIZE];
    for (int p = threadIdx.x; p < area; p += blockDim.x) {
        T variance = T(0);
        for (int c = 0; c < channels; ++c)
            variance = fused(pixels[c * area + p], pixels[c * area + p], variance);
        maps[p] = variance;
    }
    for (int k = 0; k < sizes[STEPS]; ++k, table += COLUMNS) {
        __syncthreads();
        const T* below = maps + table[VARIANCE];
        const int rows = table[OUT_Y], columns = table[OUT_X], in_y = table[IN_Y], in_x = table[IN_X];
        for (int p = threadIdx.x; p < rows * columns; p += blockDim.x) {
            const int y0 = table[STRIDE_Y] * (p / columns) - table[LOW_Y];
            const int x0 = table[STRIDE_X] * (p % columns) - table[LOW_X];
            T total = T(0);
            for (int a = 0; a < table[SIZE_Y]; ++a)
                for (int b = 0; b < table[SIZE_X]; ++b) {
                    int y = y0 + a, x = x0 + b;
                    if (sizes[WRAP]) {
                        y = (y + in_y) % in_y;
                        x = (x + in_x) % in_x;
                    }
                    if (0 <= y && y < in_y && 0 <= x && x < in_x)
                        total += below[y * in_x + x];
                }
            const T variance = fused(weights[k], total, biases[k]), root = square_root(variance);
            Root<T>* roots = reinterpret_cast<Root<T>*>(maps + table[ROOT]);
            roots[p] = {root, variance > T(0) ? T(1) / root : T(0)};
            maps[table[AFTER] + p] = table[ACTIVATION] == LINEAR ? variance : More<T>::of(constants, k).half * variance;
        }
    }
}

// Sums over the parts of a pair of images, and over the rotations of the second, in this order; divided by `count`.
template <bool NTK>
__global__ void __launch_bounds__(128) means(
    const double* __restrict__ partial, long long pairs, int order, int parts, double count, double* __restrict__ out)
{
    const long long pair = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (pair >= pairs)
        return;
    constexpr int kernels = NTK ? 2 : 1;
    const double* mine = partial + pair * order * parts * kernels;
    for (int kernel = 0; kernel < kernels; ++kernel) {
        double total = 0;
        for (int r = 0; r < order; ++r) {
            double sum = 0;
            for (int part = 0; part < parts; ++part)
                sum += mine[(r * parts + part) * kernels + kernel];
            total += sum;
        }
        out[kernel * pairs + pair] = total / count;
    }
}
