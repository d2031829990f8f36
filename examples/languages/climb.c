/* C: printf, and flush each line; stdout that is no terminal would otherwise wait for 4 KiB. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    double x = 1.0;
    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--x=", 4) == 0) x = atof(argv[i] + 4);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("{bough: create-channel, name: height, kpi: true, main: true}\n");
    for (int epoch = 1; epoch <= 100; epoch++) {
        printf("{bough: channel, name: height, x: %d, y: %g}\n", epoch, 10 - (x - 2) * (x - 2) - 1.0 / epoch);
        printf("{bough: progress, progress: %d, total: 100}\n", epoch);
        usleep(20000);
    }
    return 0;
}
