/* Runs the test vectors on a bare machine and tells by semihosting: right answers, stack used, instructions executed. */
#include "machine.h"
#include "model.h"
#include "test_vectors.h"

#define PAINT 0xA5U

extern uint8_t stack_bottom[];

static void tell(const char *name, uint32_t number)
{
    char text[32];
    int at = 31, from = 0;
    text[at] = 0;
    text[--at] = '\n';
    do {
        text[--at] = (char)('0' + number % 10U);
        number /= 10U;
    } while (number > 0U);
    text[--at] = '=';
    while (name[from] != 0) {
        from++;
    }
    while (from > 0) {
        text[--at] = name[--from];
    }
    write_text(text + at);
}

/* Bytes of the stack that were written since it was painted, below `from`. */
static uint32_t used_below(const uint8_t *from)
{
    const uint8_t *at = stack_bottom;
    while (at < from && *at == PAINT) {
        at++;
    }
    return (uint32_t)(from - at);
}

__attribute__((noinline)) static uint32_t measured(int vector, int8_t *made, uint32_t *stack)
{
    volatile uint8_t *at;
    uint8_t *here = (uint8_t *)__builtin_frame_address(0) - 64;
    uint32_t before, after;
    for (at = stack_bottom; at < here; at++) {
        *at = PAINT;
    }
    before = count_now();
    (void)model_invoke(model_test_input[vector], made);
    after = count_now();
    *stack = used_below(here) + 64U;
    return count_between(before, after);
}

void run(void)
{
    static int8_t made[MODEL_OUTPUT_COUNT];
    uint32_t right = 0, stack = 0, instructions = 0;
    int vector, at;
    start_counting();
    for (vector = 0; vector < MODEL_TEST_VECTORS; vector++) {
        uint32_t deep = 0, count = measured(vector, made, &deep);
        uint32_t same = 1;
        for (at = 0; at < MODEL_OUTPUT_COUNT; at++) {
            same = same && made[at] == model_test_output[vector][at];
        }
        right += same;
        stack = deep > stack ? deep : stack;
        instructions = count > instructions ? count : instructions;
    }
    tell("right", right);
    tell("of", MODEL_TEST_VECTORS);
    tell("stack", stack);
    tell("instructions", instructions);
    finish(right == MODEL_TEST_VECTORS);
}
