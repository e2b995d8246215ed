#!/usr/bin/env node
// Runs the tests under `forge coverage` and fails where the contracts of src/ fall below the promised share of lines or
// branches. The report stays in coverage/lcov.info.
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const PROMISED = 95;
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const report = join(root, "coverage", "lcov.info");

mkdirSync(dirname(report), { recursive: true });
const args = ["coverage", "--report", "lcov", "--report-file", report];
// Builds of its own: coverage compiles otherwise than the tests do.
const env = { ...process.env, FOUNDRY_OUT: "out/coverage", FOUNDRY_CACHE_PATH: "cache/coverage" };
const run = spawnSync("forge", args.concat(process.argv.slice(2)), { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] });
if (run.error) throw run.error;
if (run.status !== 0) process.exit(run.status ?? 1);

const totals = { lines: [0, 0], branches: [0, 0] };
const missed = [];
let file = "";
for (const line of readFileSync(report, "utf8").split("\n")) {
  const colon = line.indexOf(":");
  const [key, value] = [line.slice(0, colon), line.slice(colon + 1)];
  if (key === "SF") file = value;
  if (!file.startsWith("src/")) continue;
  const count = { LF: ["lines", 1], LH: ["lines", 0], BRF: ["branches", 1], BRH: ["branches", 0] }[key];
  if (count) totals[count[0]][count[1]] += Number(value);
  const at = value.split(",");
  if (key === "DA" && at[1] === "0") missed.push(`${file}:${at[0]} line`);
  if (key === "BRDA" && (at[3] === "0" || at[3] === "-")) missed.push(`${file}:${at[0]} branch ${at[2]}`);
}

let failed = false;
for (const [what, [hit, found]] of Object.entries(totals)) {
  const share = found === 0 ? 0 : (100 * hit) / found;
  failed ||= share < PROMISED;
  console.log(`src ${what}: ${hit} of ${found}, ${share.toFixed(1)} % (promised: ${PROMISED} %)`);
}
if (missed.length > 0) console.log(`not reached:\n  ${missed.join("\n  ")}`);
process.exitCode = failed ? 1 : 0;
