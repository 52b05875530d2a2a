// The mapping for every network: any filters, strides and paddings, and images of any size.
//
// One block takes one pair of images and one displacement dy after the last step, and all dx, one after the other. The
// slice of a displacement d = t' - t, the rectangle of t with t and t + d inside or, with CIRCULAR, all t, lies in shared
// memory or, where that is too small, in global memory: twice, as the input and as the output of a step. Entries are
// dealt out to the threads in turns, and each reads its whole window.

struct Axis {
    int first, count; // positions t of the slice
    __device__ static Axis of(int n, int displacement, int wrap)
    {
        if (wrap)
            return {0, n};
        return {max(0, -displacement), n - abs(displacement)};
    }
};

// Box sums of `fields` fields over the window whose first positions are (y, x) and (y + dy, x + dx).
template <class T> struct Window {
    const T *in, *map1, *map2;
    Axis axis_y, axis_x;
    int in_y, in_x, dy, dx, wrap, field;

    __device__ static int turn(int i, int n) { return i < 0 ? i + n : i >= n ? i - n : i; }

    __device__ void add(int y, int x, bool with_second, int second, T& distance, T& tangent, T& sum, int third) const
    {
        int y2 = y + dy, x2 = x + dx;
        if (wrap) {
            y = turn(y, in_y);
            x = turn(x, in_x);
        }
        const bool in1 = 0 <= y && y < in_y && 0 <= x && x < in_x;
        const bool in2 = wrap || (0 <= y2 && y2 < in_y && 0 <= x2 && x2 < in_x);
        if (in1 && in2) {
            const T* const at = in + (y - axis_y.first) * axis_x.count + x - axis_x.first;
            distance += at[0];
            if (with_second)
                tangent += at[second * field];
            if (third)
                sum += at[third * field];
        } else {
            const T variance = in1 ? map1[y * in_x + x] : in2 ? map2[y2 * in_x + x2] : T(0);
            distance += variance;
            sum += variance;
        }
    }
};

template <class T, bool NTK, bool USUAL>
__global__ void __launch_bounds__(SWEEP_THREADS, 1) sweep(
    const T* __restrict__ pixels1, const T* __restrict__ pixels2, const T* __restrict__ maps1,
    const T* __restrict__ maps2, const int* __restrict__ sizes, const int* __restrict__ table,
    const T* __restrict__ weights, const T* __restrict__ biases, const T* __restrict__ constants,
    double* __restrict__ partial, T* scratch,
    long long works)
{
    DYNAMIC_SHARED(T, memory);
    __shared__ double sums[2 * SWEEP_THREADS];
    const int height = sizes[HEIGHT], width = sizes[WIDTH], channels = sizes[CHANNELS], steps = sizes[STEPS];
    const int wrap = sizes[WRAP], order = sizes[ORDER], field = sizes[FIELD], parts = sizes[CLASSES_Y];
    const int fields = sizes[FIELDS], summed = sizes[SUMMED], sum_place = fields - 1;
    T* const slices = sizes[SCRATCH] ? scratch + (long long)blockIdx.x * 2 * fields * field : memory;

    for (long long work = blockIdx.x; work < works; work += gridDim.x) {
        const int row = int(work / parts / sizes[COLUMNS_OF_PAIRS]);
        const int column = int(work / parts % sizes[COLUMNS_OF_PAIRS]);
        if (row + sizes[SKIP] > column / order)
            continue;
        const int other = sizes[DIAGONAL] ? row * order + column : column;
        const T* const one = pixels1 + (long long)row * channels * height * width;
        const T* const two = pixels2 + (long long)other * channels * height * width;
        const T* const map1 = maps1 + (long long)row * sizes[MAP_SIZE];
        const T* const map2 = maps2 + (long long)other * sizes[MAP_SIZE];
        const int dy_out = int(work % parts) + sizes[FIRST_Y];
        double nngp = 0, ntk = 0;

        for (int dx_out = sizes[FIRST_X]; dx_out < sizes[FIRST_X] + sizes[CLASSES_X]; ++dx_out) {
            int dy = dy_out * sizes[SCALE_Y], dx = dx_out * sizes[SCALE_X];
            Axis axis_y = Axis::of(height, dy, wrap), axis_x = Axis::of(width, dx, wrap);
            for (int p = threadIdx.x; p < axis_y.count * axis_x.count; p += blockDim.x) {
                const int y = axis_y.first + p / axis_x.count, x = axis_x.first + p % axis_x.count;
                const int y2 = wrap ? (y + dy) % height : y + dy, x2 = wrap ? (x + dx) % width : x + dx;
                T distance, sum, product;
                pixel(one + y * width + x, two + y2 * width + x2, channels, height * width, distance, sum, product);
                if (steps == 0) {
                    nngp += double(product);
                } else {
                    slices[p] = distance;
                    slices[sum_place * field + p] = sum;
                }
            }
            __syncthreads();
            for (int k = 0; k < steps; ++k) {
                const int* const step = table + k * COLUMNS;
                const bool last = k + 1 == steps;
                const T* const in = slices + k % 2 * fields * field;
                T* const out = slices + (k + 1) % 2 * fields * field;
                int next_y = dy_out * step[SCALE_ABOVE_Y], next_x = dx_out * step[SCALE_ABOVE_X];
                if (wrap) {
                    next_y %= step[OUT_Y];
                    next_x %= step[OUT_X];
                }
                const Axis above_y = Axis::of(step[OUT_Y], next_y, wrap);
                const Axis above_x = Axis::of(step[OUT_X], next_x, wrap);
                const Window<T> window{
                    in, map1 + step[VARIANCE], map2 + step[VARIANCE], axis_y, axis_x, step[IN_Y], step[IN_X], dy, dx,
                    wrap, field};
                const Root<T>* const roots1 = reinterpret_cast<const Root<T>*>(map1 + step[ROOT]);
                const Root<T>* const roots2 = reinterpret_cast<const Root<T>*>(map2 + step[ROOT]);
                const int third = k < summed ? sum_place : 0;
                for (int p = threadIdx.x; p < above_y.count * above_x.count; p += blockDim.x) {
                    const int y = above_y.first + p / above_x.count, x = above_x.first + p % above_x.count;
                    T distance = T(0), tangent = T(0), sum = T(0);
                    for (int a = 0; a < step[SIZE_Y]; ++a)
                        for (int b = 0; b < step[SIZE_X]; ++b)
                            window.add(
                                step[STRIDE_Y] * y - step[LOW_Y] + a, step[STRIDE_X] * x - step[LOW_X] + b, NTK && k, 1,
                                distance, tangent, sum, third);
                    const int y2 = y + next_y - (wrap && y + next_y >= step[OUT_Y] ? step[OUT_Y] : 0);
                    const int x2 = x + next_x - (wrap && x + next_x >= step[OUT_X] ? step[OUT_X] : 0);
                    sum = fused(weights[k], sum, T(4) * biases[k]); // E[(2 b)^2]
                    const Entry<T> entry = activate<T, NTK, USUAL>(
                        weights[k] * distance, sum, weights[k] * tangent, roots1[y * step[OUT_X] + x],
                        roots2[y2 * step[OUT_X] + x2], step[ACTIVATION], More<T>::of(constants, k));
                    if (last) {
                        nngp += double(entry.kernel);
                        if (NTK)
                            ntk += double(entry.tangent);
                    } else {
                        out[p] = entry.distance;
                        if (NTK)
                            out[field + p] = entry.tangent;
                        if (k + 1 < summed)
                            out[sum_place * field + p] = sum;
                    }
                }
                dy = next_y;
                dx = next_x;
                axis_y = above_y;
                axis_x = above_x;
#ifndef FAULT_BARRIER
                __syncthreads();
#endif
            }
        }
        block_sum(sums, threadIdx.x, blockDim.x, nngp, ntk);
        if (threadIdx.x == 0) {
            partial[work * (NTK ? 2 : 1)] = nngp;
            if (NTK)
                partial[work * 2 + 1] = ntk;
        }
    }
}
