#!/usr/bin/env node
import { setFlagsFromString } from "node:v8";

// Most of a command is code that runs a few times. With its own setting V8 optimises much of it nevertheless, which takes longer than it
// saves, a third of a compilation; with this one only what stays busy, like the products of the `cpu` device.
setFlagsFromString("--interrupt-budget=600000");

const { runProcess } = await import("../dist/command/process.js");
await runProcess();
