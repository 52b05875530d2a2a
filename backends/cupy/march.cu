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
    int rows, pitch, width, activation;
    T weight, bias;
    bool first, last;
};

// Takes one column through a step. MIDDLE: neither the first step nor the last, and a Relu; it is where the time goes.
template <class T, bool NTK, int SIDE, bool MIDDLE>
__device__ __forceinline__ void advance(const Track<T>& column, double& nngp, double& ntk)
{
    constexpr bool both = NTK || !MIDDLE;
    const Cell<T>* below = column.in;
    Cell<T>* above = column.out;
    Ring<SIDE, T> ring{};
    for (int a = 0; a + 1 < SIDE; ++a, below += column.pitch)
        ring.template push<both>(below);
    int place = 0;
#pragma unroll (MIDDLE && SIDE == 3 ? 3 : 1)
    for (int y = 0; y < column.rows; ++y, place += column.width) {
        ring.template push<both>(below);
        const T distance = column.weight * Ring<SIDE, T>::sum(ring.distance);
        const T second = both ? column.weight * Ring<SIDE, T>::sum(ring.second) : T(0);
        const Root<T> one = column.roots1[place], two = column.roots2[place];
        if (MIDDLE) {
            const Entry<T> entry = activate<T, NTK>(distance, T(0), second, one, two, NONNEGATIVE);
            *above = {entry.distance, entry.tangent};
        } else {
            const T tangent = column.first ? T(0) : second, sum = second + T(4) * column.bias; // E[(2 b)^2]
            const Entry<T> entry = activate<T, NTK>(distance, sum, tangent, one, two, column.activation);
            if (column.last) {
                nngp += double(entry.kernel);
                if (NTK)
                    ntk += double(entry.tangent);
            } else {
                *above = {entry.distance, entry.tangent};
            }
        }
        below += column.pitch;
        above += column.pitch;
    }
}

template <class T, bool NTK, int SIDE>
__global__ void __launch_bounds__(sizeof(T) == 4 ? HELD_THREADS_4 : HELD_THREADS_8, 1) march(
    const T* __restrict__ pixels1, const T* __restrict__ pixels2, const T* __restrict__ maps1,
    const T* __restrict__ maps2, const int* __restrict__ sizes, const int* __restrict__ table,
    const T* __restrict__ weights, const T* __restrict__ biases, double* __restrict__ partial)
{
    constexpr int R = SIDE / 2;
    DYNAMIC_SHARED(Cell<T>, memory);
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
    // Rows of x' pass its lower edge here; a column is cut there, whether or not there is a wall.
    const int cut = height - frame.dy;
    Cell<T>* const mine = memory + slice * 2 * field; // the input of a step, and its output
    unsigned* const cells = reinterpret_cast<unsigned*>(memory + slices * 2 * field) + slice * halo;
    double nngp = 0, ntk = 0;

    for (int first = 0; first < classes; first += slices) {
        frame.dx = first + slice;
        const bool active = frame.dx < classes;
        const int place = frame.place(x), x2 = x + frame.dx - (x >= width - frame.dx ? width : 0);
        if (active) {
#pragma unroll 1
            for (int y = top; y < bottom; ++y) {
                const int y2 = y + frame.dy - (y >= cut ? height : 0);
                Cell<T>& cell = mine[frame.line(y) * pitch + place];
                T product;
                pixel(
                    pixels1 + y * width + x, pixels2 + y2 * width + x2, channels, area, cell.distance, cell.second,
                    product);
            }
#pragma unroll 1
            for (int cell = worker; cell < halo; cell += crew) {
                const unsigned code = cells[cell] = frame.halo(cell);
                if (!frame.wrap) {
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
            if (frame.wrap) {
#pragma unroll 1
                for (int cell = worker; active && cell < halo; cell += crew)
                    in[cells[cell] >> 16] = in[cells[cell] & 0xffff];
                __syncthreads();
            }
            Track<T> strip_of{};
            strip_of.pitch = pitch;
            strip_of.width = width;
            strip_of.activation = step[ACTIVATION];
            strip_of.weight = weights[k];
            strip_of.bias = biases[k];
            strip_of.first = k == 0;
            strip_of.last = last;
            const bool middle = k > 0 && !last && step[ACTIVATION] == NONNEGATIVE;
#pragma unroll 1
            for (int part = 0; active && part < 2; ++part) {
                const int begin = part ? max(top, cut) : top, end = part ? bottom : min(bottom, cut);
                if (begin >= end)
                    continue;
                const int y2 = begin + frame.dy - (part ? height : 0);
                strip_of.rows = end - begin;
                strip_of.in = in + (frame.line(begin) - R) * pitch + place;
                strip_of.out = out + frame.line(begin) * pitch + place;
                strip_of.roots1 = reinterpret_cast<const Root<T>*>(maps1 + step[ROOT]) + begin * width + x;
                strip_of.roots2 = reinterpret_cast<const Root<T>*>(maps2 + step[ROOT]) + y2 * width + x2;
                if (middle)
                    advance<T, NTK, SIDE, true>(strip_of, nngp, ntk);
                else
                    advance<T, NTK, SIDE, false>(strip_of, nngp, ntk);
            }
            if (!frame.wrap && !last) {
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
