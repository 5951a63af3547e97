#!/usr/bin/env node
import { runProcess } from "../dist/command/process.js";

await runProcess();
