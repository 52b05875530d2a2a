// The mapping for networks whose filters all have one odd side, stride 1 and one padding.
//
// With SAME, the displacements d and d - H (and so along x) fill rectangles that together have the size of the image, so
// that a *class* of displacements modulo (H, W) has exactly H W entries: no thread is idle. With VALID that holds for the
// image after the last step; below it both rectangles are larger by what the filters above eat. One block takes one pair
// of images and one class along y, and all classes along x, a few of them at a time: these read the same maps.
//
// The slice of a class lies in shared memory twice, the input and the output of a step. Its rows and columns stand in the
// order of t; between its rectangles and around them lie R rows and columns of halo, where at most one of the two
// positions is inside: D is the variance of that one, Theta is 0. With CIRCULAR there is one rectangle, and its
// halo is a copy; VALID has no halo, and its slice shrinks. A thread owns one column of a strip of rows; the row sums of its window move down in registers.
//
// Planted faults, for the tests: FAULT_BARRIER drops the barrier after a step, FAULT_HALO shifts a halo by one.

enum Padding { SAME, VALID, CIRCULAR };

// One axis of a slice: the rectangles of the displacements d and d - n_last, one after the other, in an image of n
// positions, n_last after the last step.
template <int R, Padding PADDING> struct Span {
    static constexpr bool wrap = PADDING == CIRCULAR, crop = PADDING == VALID;
    int n_last, d;
    __device__ int count(int n) const { return crop ? 2 * n - n_last : n; }
    __device__ int pitch(int n) const { return crop ? count(n) : n + (wrap ? 2 : 4) * R; }
    // Where the second rectangle begins, and where x' passes its edge.
    __device__ int wall(int n) const { return wrap ? n : n - d; }
    __device__ int cut(int n) const { return n - d; }
    // Position t of x and t' of x', of number i.
    __device__ int first(int i, int n) const { return crop && i >= n - d ? i + n_last - n : i; }
    __device__ int second(int i, int n) const { return i >= n - d ? i - (n - d) : i + d; }
    // Where number i lies in the slice, and where the window of an output begins in the slice below.
    __device__ int place(int i, int n) const { return crop ? i : i + (i >= wall(n) ? 3 : 1) * R; }
    __device__ int window(int i, int n) const { return i + (i >= wall(n) ? 2 : 0) * R; }
};

template <int R, Padding PADDING> struct Frame {
    Span<R, PADDING> y, x;
    __device__ int halo_cells(int height, int width) const
    {
        return y.crop ? 0 : (y.wrap ? 2 : 4) * R * (x.pitch(width) + height);
    }

    // Which cell of the halo is number `cell`, in the upper half of the result, and where its value is found, in the
    // lower: with CIRCULAR the cell that it copies, else 4 q + 1 or 4 q + 2 for position q of x or x', and 0 for nothing.
    __device__ unsigned halo(int cell, int height, int width) const
    {
        const int rows = (y.wrap ? 2 : 4) * R, pitch = x.pitch(width);
        int line, place;
        if (cell < rows * pitch) {
            line = cell / pitch;
            place = cell % pitch;
            line += line < R ? 0 : line < 3 * R ? y.wall(height) : height;
        } else {
            cell -= rows * pitch;
            line = y.place(cell / rows, height);
            place = cell % rows;
            place += place < R ? 0 : place < 3 * R ? x.wall(width) : width;
        }
        const unsigned here = unsigned(line * pitch + place) << 16;
        if (y.wrap)
            return here | unsigned(((line - R + height) % height + R) * pitch + (place - R + width) % width + R);
        const bool second_y = line >= y.wall(height) + 2 * R, second_x = place >= x.wall(width) + 2 * R;
        const int t = line - (second_y ? 3 : 1) * R, u = place - (second_x ? 3 : 1) * R;
        int t2 = t + y.d - (second_y ? height : 0), u2 = u + x.d - (second_x ? width : 0);
        if (0 <= t && t < height && 0 <= u && u < width)
            return here | unsigned(4 * (t * width + u) + 1);
#ifdef FAULT_HALO
        ++u2;
#endif
        if (0 <= t2 && t2 < height && 0 <= u2 && u2 < width)
            return here | unsigned(4 * (t2 * width + u2) + 2);
        return here;
    }
};

// Row sums of the last SIDE rows of one column, of D and, where asked for, of the second field.
template <int SIDE, class T> struct Ring {
    T distance[SIDE], second[SIDE];

    template <bool BOTH> __device__ __forceinline__ void push(const Cell<T>* p)
    {
        constexpr int R = SIDE / 2;
#pragma unroll
        for (int a = 0; a + 1 < SIDE; ++a) {
            distance[a] = distance[a + 1];
            second[a] = second[a + 1];
        }
        Cell<T> sum = p[-R];
#pragma unroll
        for (int b = 1; b < SIDE; ++b) {
            const Cell<T> cell = p[b - R];
            sum.distance += cell.distance;
            if (BOTH)
                sum.second += cell.second;
        }
        distance[SIDE - 1] = sum.distance;
        second[SIDE - 1] = sum.second;
    }

    __device__ static __forceinline__ T sum(const T (&rows)[SIDE])
    {
        T total = rows[0];
#pragma unroll
        for (int a = 1; a < SIDE; ++a)
            total += rows[a];
        return total;
    }
};

// A step as one thread sees it: where its column begins in the slices, and in the maps.
template <class T> struct Track {
    const Cell<T>* in; // the first row of its first window
    Cell<T>* out;
    const Root<T>*roots1, *roots2;
    int rows, pitch_in, pitch_out, width, activation;
    T weight, bias;
    More<T> more;
    bool first, last;
};

// Takes one column through a step. MIDDLE: neither the first step nor the last, and an activation, where USUAL one with
// K >= 0 below; it is where the time goes.
template <class T, bool NTK, int SIDE, Padding PADDING, bool USUAL, bool MIDDLE>
__device__ __forceinline__ void advance(const Track<T>& column, double& nngp, double& ntk)
{
    constexpr bool both = NTK || !MIDDLE;
    const Cell<T>* below = column.in;
    Cell<T>* above = column.out;
    Ring<SIDE, T> ring{};
#pragma unroll (SIDE == 3 ? 2 : 1)
    for (int a = 0; a + 1 < SIDE; ++a, below += column.pitch_in)
        ring.template push<both>(below);
    int place = 0;
#pragma unroll (MIDDLE && SIDE == 3 && PADDING != VALID ? 3 : 1)
    for (int y = 0; y < column.rows; ++y, place += column.width) {
        ring.template push<both>(below);
        const T distance = column.weight * Ring<SIDE, T>::sum(ring.distance);
        const T second = both ? column.weight * Ring<SIDE, T>::sum(ring.second) : T(0);
        const Root<T> one = column.roots1[place], two = column.roots2[place];
        if (MIDDLE) {
            const Entry<T> entry = activate<T, NTK, USUAL>(
                distance, T(0), second, one, two, USUAL ? int(NONNEGATIVE) : column.activation, column.more);
            *above = {entry.distance, entry.tangent};
        } else {
            const T tangent = column.first ? T(0) : second, sum = second + T(4) * column.bias; // E[(2 b)^2]
            const Entry<T> entry
                = activate<T, NTK, USUAL>(distance, sum, tangent, one, two, column.activation, column.more);
            if (column.last) {
                nngp += double(entry.kernel);
                if (NTK)
                    ntk += double(entry.tangent);
            } else {
                *above = {entry.distance, entry.tangent};
            }
        }
        below += column.pitch_in;
        above += PADDING == VALID ? column.pitch_out : column.pitch_in; // elsewhere they are one
    }
}

template <class T, bool NTK, int SIDE, Padding PADDING, bool USUAL>
__global__ void __launch_bounds__(sizeof(T) == 4 ? HELD_THREADS_4 : HELD_THREADS_8, 1) march(
    const T* __restrict__ pixels1, const T* __restrict__ pixels2, const T* __restrict__ maps1,
    const T* __restrict__ maps2, const int* __restrict__ sizes, const int* __restrict__ table,
    const T* __restrict__ weights, const T* __restrict__ biases, const T* __restrict__ constants,
    double* __restrict__ partial)
{
    constexpr int R = SIDE / 2;
    constexpr bool wrap = PADDING == CIRCULAR;
    DYNAMIC_SHARED(Cell<T>, memory);
    const int row = blockIdx.z, column = blockIdx.y, order = sizes[ORDER], steps = sizes[STEPS];
    if (row + sizes[SKIP] > column / order)
        return;
    const int height = sizes[HEIGHT], width = sizes[WIDTH];
    Frame<R, PADDING> frame{{sizes[LAST_Y], int(blockIdx.x)}, {sizes[LAST_X], 0}};
    const int channels = sizes[CHANNELS], field = sizes[FIELD], slices = sizes[SLICES], classes = sizes[CLASSES_X];
    const int other = sizes[DIAGONAL] ? row * order + column : column;
    pixels1 += (long long)row * channels * height * width;
    pixels2 += (long long)other * channels * height * width;
    maps1 += (long long)row * sizes[MAP_SIZE];
    maps2 += (long long)other * sizes[MAP_SIZE];

    // The slice is largest after the first step; with VALID, some threads then run out of columns.
    const int strip = sizes[STRIP], columns = frame.x.count(table[OUT_X]);
    const int crew = (frame.y.count(table[OUT_Y]) + strip - 1) / strip * columns;
    const int slice = threadIdx.x / crew, worker = threadIdx.x % crew, j = worker % columns;
    const int top = worker / columns * strip, halo = frame.halo_cells(height, width);
    Cell<T>* const mine = memory + slice * 2 * field; // the input of a step, and its output
    unsigned* const cells = reinterpret_cast<unsigned*>(memory + slices * 2 * field) + slice * halo;
    double nngp = 0, ntk = 0;

    for (int first = 0; first < classes; first += slices) {
        frame.x.d = first + slice;
        const bool active = frame.x.d < classes;
        if (active) {
            const int across = frame.x.count(width), size = frame.y.count(height) * across;
#pragma unroll 1
            for (int p = worker; p < size; p += crew) {
                const int i = p / across, k = p % across;
                Cell<T>& cell = mine[frame.y.place(i, height) * frame.x.pitch(width) + frame.x.place(k, width)];
                T product;
                pixel(
                    pixels1 + frame.y.first(i, height) * width + frame.x.first(k, width),
                    pixels2 + frame.y.second(i, height) * width + frame.x.second(k, width), channels, height * width,
                    cell.distance, cell.second, product);
            }
#pragma unroll 1
            for (int cell = worker; cell < halo; cell += crew) {
                const unsigned code = cells[cell] = frame.halo(cell, height, width);
                if (!wrap) {
                    const T variance = code & 3 ? (code & 1 ? maps1 : maps2)[(code & 0xffff) >> 2] : T(0);
                    mine[code >> 16] = {variance, variance};
                }
            }
        }
        __syncthreads();
#pragma unroll 1
        for (int k = 0; k < steps; ++k) {
            const int* const step = table + k * COLUMNS;
            const bool last = k + 1 == steps;
            Cell<T>* const in = mine + k % 2 * field;
            Cell<T>* const out = mine + (k + 1) % 2 * field;
            if (wrap) {
#pragma unroll 1
                for (int cell = worker; active && cell < halo; cell += crew)
                    in[cells[cell] >> 16] = in[cells[cell] & 0xffff];
                __syncthreads();
            }
            const int rows = step[OUT_Y], across = step[OUT_X], cut = frame.y.cut(rows);
            const int bottom = min(top + strip, frame.y.count(rows));
            Track<T> track{};
            track.pitch_in = frame.x.pitch(step[IN_X]);
            track.pitch_out = frame.x.pitch(across);
            track.width = across;
            track.activation = step[ACTIVATION];
            track.weight = weights[k];
            track.bias = biases[k];
            if (!USUAL)
                track.more = More<T>::of(constants, k);
            track.first = k == 0;
            track.last = last;
            const bool middle
                = k > 0 && !last && (USUAL ? step[ACTIVATION] == NONNEGATIVE : step[ACTIVATION] != LINEAR);
            const bool inside = active && j < frame.x.count(across);
            // Rows of x' pass its lower edge at `cut`; a column is cut there, whether or not there is a wall.
#pragma unroll 1
            for (int part = 0; inside && part < 2; ++part) {
                const int begin = part ? max(top, cut) : top, end = part ? bottom : min(bottom, cut);
                if (begin >= end)
                    continue;
                track.rows = end - begin;
                track.in = in + frame.y.window(begin, rows) * track.pitch_in + frame.x.window(j, across) + R;
                track.out = out + frame.y.place(begin, rows) * track.pitch_out + frame.x.place(j, across);
                track.roots1 = reinterpret_cast<const Root<T>*>(maps1 + step[ROOT])
                    + frame.y.first(begin, rows) * across + frame.x.first(j, across);
                track.roots2 = reinterpret_cast<const Root<T>*>(maps2 + step[ROOT])
                    + frame.y.second(begin, rows) * across + frame.x.second(j, across);
                if (middle)
                    advance<T, NTK, SIDE, PADDING, USUAL, true>(track, nngp, ntk);
                else
                    advance<T, NTK, SIDE, PADDING, USUAL, false>(track, nngp, ntk);
            }
            if (!wrap && !last) {
#pragma unroll 1
                for (int cell = worker; active && cell < halo; cell += crew) {
                    const unsigned code = cells[cell];
                    const T* const source = (code & 1 ? maps1 : maps2) + step[AFTER];
                    out[code >> 16] = {code & 3 ? source[(code & 0xffff) >> 2] : T(0), T(0)};
                }
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
