/* RISC-V: start, semihosting (the RISC-V semihosting specification), and the count of retired instructions. */
#include "machine.h"

extern uint32_t bss_start[], bss_end[];

__attribute__((naked, section(".start"))) void start(void)
{
    __asm__ volatile(".option push\n .option norelax\n la gp, __global_pointer$\n .option pop\n la sp, stack_top\n j begin");
}

__attribute__((used)) static void begin(void)
{
    uint32_t *to;
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    run();
}

static int semihost(int operation, const void *argument)
{
    register int a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = argument;
    __asm__ volatile(
        ".option push\n .option norvc\n .balign 16\n slli x0, x0, 0x1f\n ebreak\n srai x0, x0, 7\n .option pop"
        : "+r"(a0)
        : "r"(a1)
        : "memory");
    return a0;
}

void write_text(const char *text)
{
    (void)semihost(0x04, text);
}

void finish(int right)
{
    const uint32_t reason[2] = {0x20026U, right ? 0U : 1U};
    (void)semihost(0x20, reason);
    for (;;) {
    }
}

void start_counting(void)
{
}

uint32_t count_now(void)
{
    uint32_t count;
    /* csrr %0, minstret; by its code, since assemblers differ in the name of the extension. */
    __asm__ volatile(".insn i 0x73, 2, %0, x0, -1278" : "=r"(count));
    return count;
}

uint32_t count_between(uint32_t before, uint32_t after)
{
    return after - before;
}
