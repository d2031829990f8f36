# R: cat, and flush. The values are in a file; without a package for JSON, one line finds the one that is wanted.
values <- paste(readLines(Sys.getenv("BOUGH_PARAMETERS"), warn = FALSE), collapse = "")
x <- as.numeric(sub('.*"x": *([-+0-9.eE]+).*', "\\1", values))
report <- function(...) { cat("{bough: ", sprintf(...), "}\n", sep = ""); flush(stdout()) }

report("create-channel, name: height, kpi: true, main: true")
for (epoch in 1:100) {
  report("channel, name: height, x: %d, y: %g", epoch, 10 - (x - 2)^2 - 1 / epoch)
  report("progress, progress: %d, total: 100", epoch)
  Sys.sleep(0.02)
}
