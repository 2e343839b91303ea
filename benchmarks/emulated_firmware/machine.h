/* What run.c needs of a machine. */
#ifndef MACHINE_H
#define MACHINE_H

#include <stdint.h>

void write_text(const char *text);
void finish(int right);
void start_counting(void);
uint32_t count_now(void);
/* Executed instructions between two counts. */
uint32_t count_between(uint32_t before, uint32_t after);
void run(void);

#endif
