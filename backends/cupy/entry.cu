// One entry of a slice through one step: what the mappings march.cu and sweep.cu have in common.
//
// The distance D = E[(f(t) - f'(t'))^2] is carried, not the covariance K; theory and notation are those of
// backends/numba/rows.py. S = E[(f(t) + f'(t'))^2] goes along up to the first Relu: there K may be negative, and near
// K = -s s' it is S that keeps the digits, as D does near K = s s'. It has the edges of D and, but for the bias, which
// counts four times, its recursion.
//
// Every rounding is written down (fused or not), and the compiler is told to fuse nothing: a device and a host do
// the same arithmetic. The generated lines above this file define the polynomials angle and segment, what may
// follow a convolution, and the columns of the tables `sizes` and `table`.

#ifndef DYNAMIC_SHARED
#define DYNAMIC_SHARED(T, name)                                                                                        \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                                                      \
    T* name = reinterpret_cast<T*>(name##_bytes)
#endif

__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ double fused(double a, double b, double c) { return fma(a, b, c); }
__device__ __forceinline__ float square_root(float a) { return sqrtf(a); }
__device__ __forceinline__ double square_root(double a) { return sqrt(a); }

// Root of u = 1 - rho. In single precision a Newton step on the device's estimate of 1/sqrt(u), which rounds as sqrtf does
// but for a rare last bit, without its branch for the smallest numbers: what they are does not matter.
__device__ __forceinline__ double angle_root(double u) { return sqrt(u); }
__device__ __forceinline__ float angle_root(float u)
{
    const float above = max(u, 1e-30f), estimate = rsqrtf(above), root = above * estimate;
    return fmaf(fmaf(-root, root, above), 0.5f * estimate, root);
}

// Root of a variance after the convolution and before the Relu, and its reciprocal, or 0 where the variance is 0.
template <class T> struct __align__(2 * sizeof(T)) Root {
    T root, reciprocal;
};

// D, and Theta or, below the first step, S.
template <class T> struct __align__(2 * sizeof(T)) Cell {
    T distance, second;
};

template <class T> struct Entry {
    T distance, kernel, tangent;
};

// How a step differs from a convolution and Relu in the NTK parametrisation: the columns of step_constants in
// backends/table.py.
template <class T> struct More {
    T half, gain, skip, odd, alpha, beta;
    __device__ static const More& of(const T* constants, int step)
    {
        return reinterpret_cast<const More*>(constants)[step];
    }
};

// Takes the weighted box sums of D, S and Theta through what follows the convolution. S counts only where SIGNED. Where
// USUAL, nothing differs, and `more` is not read.
template <class T, bool NTK, bool USUAL>
__device__ __forceinline__ Entry<T> activate(
    T distance, T sum, T tangent, Root<T> one, Root<T> two, int activation, const More<T>& more)
{
    const T delta = one.root - two.root, scale = one.root * two.root;
    const T inverse = T(0.5) * (one.reciprocal * two.reciprocal);
    const T u = fused(-delta, delta, distance) * inverse;
    if (activation == LINEAR) {
        const T kernel = fused(-scale, u, scale);
        return {distance, kernel, NTK ? tangent + (USUAL ? kernel : fused(more.alpha, kernel, more.beta)) : T(0)};
    }
    const bool near = activation == NONNEGATIVE || u <= T(1);
    T w = near ? u : !USUAL && activation == LATE ? T(2) - u : fused(-delta, delta, sum) * inverse;
    w = w > T(0) ? w : T(0);
    const T tau = angle_root(w);
    const T cap = (w * tau) * segment(w);
    Entry<T> entry;
    if (!USUAL) {
        const T even = more.gain * cap, cosine = near ? T(1) - w : w - T(1);
        const T rise = near ? T(2) * more.half * w : fused(T(-2) * more.skip, w, more.odd);
        entry.distance = fused(scale, rise - even, more.half * (delta * delta));
        entry.kernel = scale * fused(near ? more.half : more.skip, cosine, T(0.5) * even);
        entry.tangent = T(0);
        if (NTK) {
            const T turn = tau * angle(w);
            const T slope = near ? fused(-more.gain, turn, more.half) : fused(more.gain, turn, more.skip);
            entry.tangent = (tangent + fused(more.alpha, scale * cosine, more.beta)) * slope;
        }
        return entry;
    }
    entry.distance = fused(scale, (near ? w : T(1)) - cap, T(0.5) * (delta * delta));
    entry.kernel = T(0.5) * (scale * ((near ? T(1) - w : T(0)) + cap));
    entry.tangent = T(0);
    if (NTK) {
        const T turn = tau * angle(w);
        entry.tangent = fused(scale, near ? T(1) - w : w - T(1), tangent) * (near ? T(0.5) - turn : turn);
    }
    return entry;
}

// Squared distance, squared sum and product of two pixels, over the channels.
template <class T>
__device__ __forceinline__ void pixel(const T* one, const T* two, int channels, int stride, T& distance, T& sum, T& product)
{
    distance = sum = product = T(0);
#pragma unroll 1
    for (int c = 0; c < channels; ++c) {
        const T a = one[c * stride], b = two[c * stride];
        distance = fused(a - b, a - b, distance);
        sum = fused(a + b, a + b, sum);
        product = fused(a, b, product);
    }
}

// Sums of all threads, added up in an order that depends on their number alone; for thread 0. All threads must call it.
__device__ __forceinline__ void block_sum(double* memory, int thread, int count, double& nngp, double& ntk)
{
    memory[2 * thread] = nngp;
    memory[2 * thread + 1] = ntk;
    while (count > 1) {
        const int kept = (count + 1) / 2;
        __syncthreads();
        if (thread < count - kept) {
            memory[2 * thread] += memory[2 * (thread + kept)];
            memory[2 * thread + 1] += memory[2 * (thread + kept) + 1];
        }
        count = kept;
    }
    if (thread == 0) {
        nngp = memory[0];
        ntk = memory[1];
    }
    __syncthreads();
}
