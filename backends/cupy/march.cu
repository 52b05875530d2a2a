// The mapping for networks whose filters all have one odd side, stride 1 and padding SAME or CIRCULAR.
//
// Without padding, the displacements d and d - H (and so along x) fill rectangles that together have the size of the
// image, so that a *class* of displacements modulo (H, W) has exactly H W entries: no thread is idle. One block takes
// one pair of images and one class along y, and all classes along x, a few of them at a time: these read the same maps.
//
// The slice of a class lies in shared memory twice, the input and the output of a step. Its rows and columns stand in the
// order of t; between its rectangles and around them lie R rows and columns of halo, where at most one of the two
// positions is inside: D is the variance of that one, Theta is 0. With CIRCULAR there is one rectangle, and its
// halo is a copy. A thread owns one column of a strip of rows; the row sums of its window move down in registers.
//
// Planted faults, for the tests: FAULT_BARRIER drops the barrier after a step, FAULT_HALO shifts a halo by one.

template <int R> struct Frame {
    int height, width, wrap, dy, dx;
    __device__ int wall_y() const { return wrap ? height : height - dy; }
    __device__ int wall_x() const { return wrap ? width : width - dx; }
    __device__ int pitch() const { return width + (wrap ? 2 : 4) * R; }
    __device__ int halo_cells() const { return (wrap ? 2 : 4) * R * (pitch() + height); }
    __device__ int line(int y) const { return y + (y >= wall_y() ? 3 : 1) * R; }
    __device__ int place(int x) const { return x + (x >= wall_x() ? 3 : 1) * R; }

    // Which cell of the halo is number `cell`, in the upper half of the result, and where its value is found, in the
    // lower: with CIRCULAR the cell that it copies, else 4 q + 1 or 4 q + 2 for position q of x or x', and 0 for nothing.
    __device__ unsigned halo(int cell) const
    {
        const int rows = (wrap ? 2 : 4) * R, skip_y = wrap ? height : wall_y(), skip_x = wrap ? width : wall_x();
        int line, place;
        if (cell < rows * pitch()) {
            line = cell / pitch();
            place = cell % pitch();
            line += line < R ? 0 : line < 3 * R ? skip_y : height;
        } else {
            cell -= rows * pitch();
            line = this->line(cell / rows);
            place = cell % rows;
            place += place < R ? 0 : place < 3 * R ? skip_x : width;
        }
        const unsigned here = unsigned(line * pitch() + place) << 16;
        if (wrap) {
            const int y = (line - R + height) % height, x = (place - R + width) % width;
            return here | unsigned((y + R) * pitch() + x + R);
        }
        const bool second_y = line >= wall_y() + 2 * R, second_x = place >= wall_x() + 2 * R;
        const int y = line - (second_y ? 3 : 1) * R, x = place - (second_x ? 3 : 1) * R;
        int y2 = y + dy - (second_y ? height : 0), x2 = x + dx - (second_x ? width : 0);
        if (0 <= y && y < height && 0 <= x && x < width)
            return here | unsigned(4 * (y * width + x) + 1);
#ifdef FAULT_HALO
        ++x2;
#endif
        if (0 <= y2 && y2 < height && 0 <= x2 && x2 < width)
            return here | unsigned(4 * (y2 * width + x2) + 2);
        return here;
    }
};

// Sum of SIDE neighbours in a row.
template <int SIDE, class T> __device__ __forceinline__ T row_sum(const T* p)
{
    T sum = p[-(SIDE / 2)];
#pragma unroll
    for (int b = 1; b < SIDE; ++b)
        sum += p[b - SIDE / 2];
    return sum;
}

// Row sums of the last SIDE rows of one column.
template <int SIDE, class T> struct Ring {
    T rows[SIDE];
    __device__ __forceinline__ void push(const T* p)
    {
#pragma unroll
        for (int a = 0; a + 1 < SIDE; ++a)
            rows[a] = rows[a + 1];
        rows[SIDE - 1] = row_sum<SIDE>(p);
    }
    __device__ __forceinline__ T sum() const
    {
        T total = rows[0];
#pragma unroll
        for (int a = 1; a < SIDE; ++a)
            total += rows[a];
        return total;
    }
};

template <class T, bool NTK, int SIDE>
__global__ void __launch_bounds__(MARCH_THREADS, 1) march(
    const T* __restrict__ pixels1, const T* __restrict__ pixels2, const T* __restrict__ maps1,
    const T* __restrict__ maps2, const int* __restrict__ sizes, const int* __restrict__ table,
    const T* __restrict__ weights, const T* __restrict__ biases, double* __restrict__ partial)
{
    constexpr int R = SIDE / 2;
    DYNAMIC_SHARED(T, memory);
    const int row = blockIdx.z, column = blockIdx.y, order = sizes[ORDER], steps = sizes[STEPS];
    if (row + sizes[SKIP] > column / order)
        return;
    Frame<R> frame{sizes[HEIGHT], sizes[WIDTH], sizes[WRAP], int(blockIdx.x), 0};
    const int height = frame.height, width = frame.width, area = height * width, pitch = frame.pitch();
    const int channels = sizes[CHANNELS], field = sizes[FIELD], slices = sizes[SLICES], classes = sizes[CLASSES_X];
    const int other = sizes[DIAGONAL] ? row * order + column : column;
    pixels1 += (long long)row * channels * area;
    pixels2 += (long long)other * channels * area;
    maps1 += (long long)row * sizes[MAP_SIZE];
    maps2 += (long long)other * sizes[MAP_SIZE];

    const int strip = sizes[STRIP], crew = (height + strip - 1) / strip * width;
    const int slice = threadIdx.x / crew, worker = threadIdx.x % crew, x = worker % width;
    const int top = worker / width * strip, bottom = min(top + strip, height), halo = frame.halo_cells();
    T* const mine = memory + slice * 4 * field; // input D, Theta or S; output D, Theta or S
    unsigned* const cells = reinterpret_cast<unsigned*>(memory + slices * 4 * field) + slice * halo;
    double nngp = 0, ntk = 0;

    for (int first = 0; first < classes; first += slices) {
        frame.dx = first + slice;
        const bool active = frame.dx < classes;
        const int place = frame.place(x), x2 = x + frame.dx - (x >= width - frame.dx ? width : 0);
        if (active) {
#pragma unroll 1
            for (int y = top; y < bottom; ++y) {
                const int y2 = y + frame.dy - (y >= height - frame.dy ? height : 0);
                T* const at = mine + frame.line(y) * pitch + place;
                T product;
                pixel(pixels1 + y * width + x, pixels2 + y2 * width + x2, channels, area, at[0], at[field], product);
            }
#pragma unroll 1
            for (int cell = worker; cell < halo; cell += crew) {
                const unsigned code = cells[cell] = frame.halo(cell);
                if (!frame.wrap) {
                    const T* const source = code & 1 ? maps1 : maps2;
                    T* const at = mine + (code >> 16);
                    at[0] = at[field] = code & 3 ? source[(code & 0xffff) >> 2] : T(0);
                }
            }
        }
        __syncthreads();
        for (int k = 0; k < steps; ++k) {
            const int* const step = table + k * COLUMNS;
            const bool last = k + 1 == steps;
            T* const in = mine + k % 2 * 2 * field;
            T* const out = mine + (k + 1) % 2 * 2 * field;
            if (frame.wrap) {
#pragma unroll 1
                for (int cell = worker; active && cell < halo; cell += crew) {
                    const unsigned code = cells[cell];
                    in[code >> 16] = in[code & 0xffff];
                    in[field + (code >> 16)] = in[field + (code & 0xffff)];
                }
                __syncthreads();
            }
            const Root<T>* const roots1 = reinterpret_cast<const Root<T>*>(maps1 + step[ROOT]) + x;
            const Root<T>* const roots2 = reinterpret_cast<const Root<T>*>(maps2 + step[ROOT]) + x2;
            const int activation = step[ACTIVATION];
            const T weight = weights[k], twice = T(4) * biases[k]; // E[(2 b)^2]
            const bool with_sum = k == 0; // its place is Theta's, which is 0 below the first step
#pragma unroll 1
            for (int part = 0; active && part < 2; ++part) {
                const int wall = frame.wall_y();
                const int begin = part ? max(top, wall) : top, end = part ? bottom : min(bottom, wall);
                if (begin >= end)
                    continue;
                const T* below = in + (frame.line(begin) - R) * pitch + place;
                T* above = out + frame.line(begin) * pitch + place;
                Ring<SIDE, T> d{}, t{};
                for (int a = 0; a + 1 < SIDE; ++a, below += pitch) {
                    d.push(below);
                    if (NTK || with_sum)
                        t.push(below + field);
                }
#pragma unroll (SIDE == 3 ? 3 : 1)
                for (int y = begin; y < end; ++y, below += pitch, above += pitch) {
                    const int y2 = y + frame.dy - (y >= height - frame.dy ? height : 0);
                    d.push(below);
                    if (NTK || with_sum)
                        t.push(below + field);
                    const T second = NTK || with_sum ? weight * t.sum() : T(0);
                    const Entry<T> entry = activate<T, NTK>(
                        weight * d.sum(), second + twice, with_sum ? T(0) : second, roots1[y * width],
                        roots2[y2 * width], activation);
                    if (last) {
                        nngp += double(entry.kernel);
                        if (NTK)
                            ntk += double(entry.tangent);
                    } else {
                        above[0] = entry.distance;
                        if (NTK)
                            above[field] = entry.tangent;
                    }
                }
            }
            if (!frame.wrap && !last)
#pragma unroll 1
                for (int cell = worker; active && cell < halo; cell += crew) {
                    const unsigned code = cells[cell];
                    const T* const source = (code & 1 ? maps1 : maps2) + step[AFTER];
                    out[code >> 16] = code & 3 ? source[(code & 0xffff) >> 2] : T(0);
                    out[field + (code >> 16)] = T(0);
                }
#ifndef FAULT_BARRIER
            __syncthreads();
#endif
        }
    }
    block_sum(reinterpret_cast<double*>(memory), threadIdx.x, blockDim.x, nngp, ntk);
    if (threadIdx.x == 0) {
        const long long place = ((long long)row * gridDim.y + column) * gridDim.x + blockIdx.x;
        partial[place * (NTK ? 2 : 1)] = nngp;
        if (NTK)
            partial[place * 2 + 1] = ntk;
    }
}
