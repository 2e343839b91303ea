/* Cortex-M: vector table, reset, semihosting (Arm's document 100863), and SysTick as a counter. Under `-icount shift=0`
   an instruction is a nanosecond of the machine's time, of which SysTick counts CLOCK_MHZ in a microsecond. */
#include "machine.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010U)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014U)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018U)

extern uint32_t stack_top[];
extern uint32_t data_from[], data_start[], data_end[], bss_start[], bss_end[];

static int semihost(int operation, const void *argument)
{
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

void write_text(const char *text)
{
    (void)semihost(0x04, text);
}

void finish(int right)
{
    const uint32_t reason[2] = {0x20026U, right ? 0U : 1U};
    (void)semihost(0x20, reason);
    /* Older cores know only the exit without a code. */
    (void)semihost(0x18, (const void *)(right ? 0x20026U : 0x20023U));
    for (;;) {
    }
}

void start_counting(void)
{
    SYST_RVR = 0xFFFFFFU;
    SYST_CVR = 0;
    SYST_CSR = 5;
}

uint32_t count_now(void)
{
    return SYST_CVR;
}

uint32_t count_between(uint32_t before, uint32_t after)
{
    const uint32_t ticks = (before - after) & 0xFFFFFFU;
    return ticks * (1000U / CLOCK_MHZ) + ticks * (1000U % CLOCK_MHZ) / CLOCK_MHZ;
}

static void reset(void)
{
    uint32_t *from = data_from, *to;
    for (to = data_start; to < data_end; to++) {
        *to = *from++;
    }
    for (to = bss_start; to < bss_end; to++) {
        *to = 0;
    }
    run();
}

static void fault(void)
{
    write_text("fault=1\n");
    finish(0);
}

__attribute__((section(".vectors"), used)) static void *const vectors[16] = {
    stack_top, (void *)reset, (void *)fault, (void *)fault, (void *)fault, (void *)fault, (void *)fault,
};
