/* os/registers.h: vector registers keep what string functions and ciphers last had in them, and a signal's arrival writes them to the stack. */
#ifndef HF_OS_REGISTERS_H
#define HF_OS_REGISTERS_H

/* Zeroes the vector registers of this thread that a function may change. A caller that goes on to wipe its stack does this first. */
static inline void hf_registers_wipe(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) /* the upper sixteen, which the next instruction does not reach; no code of ours holds anything there */
        __asm__ volatile("vpxorq %zmm16,%zmm16,%zmm16\n\tvpxorq %zmm17,%zmm17,%zmm17\n\tvpxorq %zmm18,%zmm18,%zmm18\n\tvpxorq %zmm19,%zmm19,%zmm19\n\t"
                         "vpxorq %zmm20,%zmm20,%zmm20\n\tvpxorq %zmm21,%zmm21,%zmm21\n\tvpxorq %zmm22,%zmm22,%zmm22\n\tvpxorq %zmm23,%zmm23,%zmm23\n\t"
                         "vpxorq %zmm24,%zmm24,%zmm24\n\tvpxorq %zmm25,%zmm25,%zmm25\n\tvpxorq %zmm26,%zmm26,%zmm26\n\tvpxorq %zmm27,%zmm27,%zmm27\n\t"
                         "vpxorq %zmm28,%zmm28,%zmm28\n\tvpxorq %zmm29,%zmm29,%zmm29\n\tvpxorq %zmm30,%zmm30,%zmm30\n\tvpxorq %zmm31,%zmm31,%zmm31");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13",
                         "xmm14", "xmm15");
    else
        __asm__ volatile("pxor %%xmm0,%%xmm0\n\tpxor %%xmm1,%%xmm1\n\tpxor %%xmm2,%%xmm2\n\tpxor %%xmm3,%%xmm3\n\tpxor %%xmm4,%%xmm4\n\t"
                         "pxor %%xmm5,%%xmm5\n\tpxor %%xmm6,%%xmm6\n\tpxor %%xmm7,%%xmm7\n\tpxor %%xmm8,%%xmm8\n\tpxor %%xmm9,%%xmm9\n\t"
                         "pxor %%xmm10,%%xmm10\n\tpxor %%xmm11,%%xmm11\n\tpxor %%xmm12,%%xmm12\n\tpxor %%xmm13,%%xmm13\n\tpxor %%xmm14,%%xmm14\n\t"
                         "pxor %%xmm15,%%xmm15" ::: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
                         "xmm12", "xmm13", "xmm14", "xmm15");
#elif defined(__aarch64__)
    __asm__ volatile("movi v0.16b,#0\n\tmovi v1.16b,#0\n\tmovi v2.16b,#0\n\tmovi v3.16b,#0\n\tmovi v4.16b,#0\n\tmovi v5.16b,#0\n\tmovi v6.16b,#0\n\t"
                     "movi v7.16b,#0\n\tmovi v16.16b,#0\n\tmovi v17.16b,#0\n\tmovi v18.16b,#0\n\tmovi v19.16b,#0\n\tmovi v20.16b,#0\n\t"
                     "movi v21.16b,#0\n\tmovi v22.16b,#0\n\tmovi v23.16b,#0\n\tmovi v24.16b,#0\n\tmovi v25.16b,#0\n\tmovi v26.16b,#0\n\t"
                     "movi v27.16b,#0\n\tmovi v28.16b,#0\n\tmovi v29.16b,#0\n\tmovi v30.16b,#0\n\tmovi v31.16b,#0" ::: "v0", "v1", "v2", "v3", "v4",
                     "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31");
#endif
}

#endif
