/**
 * Start the page, or say in one sentence why there is none.
 *
 * Imports nothing itself, so that it still runs where the libraries of the page were left out of the installation.
 */
import("./main.js").catch((error) => {
  console.warn(error);
  document.getElementById("boot").textContent =
    "The page's libraries are not here: bough was installed with BOUGH_SKIP_WEB=1. " +
    "Install it again without that, or use the command line: bough optimization ls";
});
