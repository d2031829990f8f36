// Node: JSON lines, appended to the file that BOUGH_REPORTS names, so that nothing else on stdout gets between them.
const fs = require("fs");
const x = JSON.parse(fs.readFileSync(process.env.BOUGH_PARAMETERS)).x;
const report = (verb, keys) => fs.appendFileSync(process.env.BOUGH_REPORTS, JSON.stringify({ bough: verb, ...keys }) + "\n");

report("create-channel", { name: "height", kpi: true, main: true });
let epoch = 0;
const timer = setInterval(() => {
  epoch += 1;
  report("channel", { name: "height", x: epoch, y: 10 - (x - 2) ** 2 - 1 / epoch });
  report("progress", { progress: epoch, total: 100 });
  if (epoch === 100) clearInterval(timer);
}, 20);
