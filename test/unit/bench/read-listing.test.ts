/** What `bench/vulkan-resources.mjs` reads of RADV's listings. */
import { describe, expect, it } from "vitest";
import { readListing } from "../../../bench/vulkan/read-listing.mjs";

/** A kernel as RADV prints it: a loop within a loop, and a loop that loads nothing. */
const blocks = `BB0:
	v_mov_b32_e32 v2, 0                                         ; 7e040280
	global_load_dword v9, v[2:3], off                           ; dc308000 097d0002
BB1:
	buffer_load_dwordx4 v[4:7], v3, s[8:11], 0 offen            ; e0381000 80020403
	s_waitcnt vmcnt(0)                                          ; bf8c3f70
BB2:
	buffer_load_dwordx4 v[4:7], v3, s[8:11], 0 offen            ; e0381000 80020403
	buffer_load_dwordx2 v[8:9], v3, s[8:11], 0 offen offset:64  ; e0341040 80020803
	ds_read_b128 v[12:15], v1                                   ; dbfc0000 0c000001
	s_cbranch_execz BB3                                         ; bf880002
	buffer_load_ushort v10, v3, s[8:11], 0 offen                ; e0281000 80020a03
BB3:
	s_waitcnt vmcnt(1) lgkmcnt(0)                               ; bf8c0071
	v_mul_f32_e32 v3, v7, v11                                   ; 10061707
	v_fmac_f32_e32 v3, v6, v10                                  ; 56061506
	v_pk_fma_f16 v3, v5, v9, v3                                 ; 56061305
	buffer_load_short_d16_hi v10, v3, s[8:11], 0 offen          ; e0281000 80020a03
	s_waitcnt vmcnt(0)                                          ; bf8c3f70
	s_cbranch_scc1 BB2                                          ; bf85fff0
BB4:
	s_branch BB1                                                ; bf82ffd8
BB5:
	v_add_f32_e32 v2, v2, v3                                    ; 06040702
	s_cbranch_scc1 BB5                                          ; bf85fffe
BB6:
	s_endpgm                                                    ; bf810000
`;

const listing = (disassembly: string) => `some lines before
disasm:
${disassembly}

Compute Shader:
*** SHADER STATS ***
Driver pipeline hash: 12968092232564976728
SGPRs: 128
VGPRs: 136
Spilled SGPRs: 2
Spilled VGPRs: 3
Code size: 216
LDS size: 10240
Scratch size: 1024
Subgroups per SIMD: 6
Latency: 4137
Inverse Throughput: 259
Pre-Sched VGPRs: 11
********************
`;

describe("a listing of RADV", () => {
  it("tells registers, spills of both kinds, memory and waves", () => {
    expect(readListing(listing(blocks))).toMatchObject({
      ...{ vgprs: 136, sgprs: 128, spilled: 5, scratchBytes: 1024, ldsBytes: 10240, wavesPerSimd: 6 },
      ...{ codeBytes: 216, latency: 4137, inverseThroughput: 259 },
    });
  });

  it("tells how many bytes a lane loads, whatever the instruction is called", () => {
    expect(readListing(listing(blocks)).loads).toEqual({ "2": 2, "4": 1, "8": 1, "16": 2 });
  });

  it("tells of the innermost loops that load, and how many loads stand before the first wait", () => {
    const { loops } = readListing(listing(blocks));
    expect(loops).toEqual([
      {
        ...{ instructions: 12, loads: { "2": 2, "8": 1, "16": 1 }, inFlight: 3 },
        ...{ multiplyAdds: 2, ldsReads: 1, branches: 2 },
      },
    ]);
  });

  it("is refused where it has loads that nobody has met, or no instructions", () => {
    const unknown = blocks.replace("buffer_load_ushort", "buffer_load_format_x");
    expect(() => readListing(listing(unknown))).toThrow("unknown load: buffer_load_format_x");
    expect(() => readListing("VGPRs: 136\n")).toThrow("RADV_DEBUG=shaders");
  });
});
