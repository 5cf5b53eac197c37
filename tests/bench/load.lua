-- Distinct CallCov callbacks of 1.5 kB, each signed with HMAC-SHA256 by OpenSSL, for wrk:
--
--     wrk -t1 -c64 -d60 -s tests/bench/load.lua http://127.0.0.1:8080/hooks/callcov
--
-- Prints one line: RESULT accepted=… seconds=… refused=… errors=… p50_ms=… p99_ms=…
local ffi = require("ffi")
ffi.cdef[[
typedef struct evp_md_st EVP_MD;
const EVP_MD *EVP_sha256(void);
unsigned char *HMAC(const EVP_MD *md, const void *key, int key_len, const unsigned char *d, size_t n,
                    unsigned char *out, unsigned int *out_len);
int getpid(void);
]]
local crypto = ffi.load("libcrypto.so.3")
local secret = "bench-secret-0123456789abcdef"
local out, out_len = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")
local hex = {}
for i = 0, 255 do hex[i] = string.format("%02x", i) end

local function sign(body)
  crypto.HMAC(crypto.EVP_sha256(), secret, #secret, body, #body, out, out_len)
  local letters = {}
  for i = 0, 31 do letters[i + 1] = hex[out[i]] end
  return table.concat(letters)
end

local segments = {}
for i = 0, 7 do
  segments[#segments + 1] = string.format(
    '{"speaker":"%s","text":"I see the last payment on the fourth, and I will send the corrected bill today.","start":%.1f,"end":%.1f}',
    i % 2 == 0 and "A" or "B", i * 4.5, i * 4.5 + 4.0)
end
local before = '{"id":"'
local after = '","object":"analysis","created":1768219200,"status":"completed","livemode":false,'
  .. '"call":{"agent_id":"agent_7","contact_id":"contact_88","duration_ms":36000,"duration_seconds":36.0},'
  .. '"transcript":{"text":"...","segments":[' .. table.concat(segments, ",") .. '],"language":"en"},'
  .. '"results":{"compliance":{"identity_verification":{"verified":true,"timestamp":1.2,"flagged":false}},'
  .. '"quality":{},"coaching":{}},"metadata":{"completed_at":"2026-01-12T12:02:11Z","error_message":null}}'

local run = string.format("%x-%x", os.time(), ffi.C.getpid())
local count, head = 0, nil

function request()
  count = count + 1
  local body = before .. run .. string.format("-%09d", count) .. after
  if not head then
    head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. "\r\nContent-Type: application/json\r\n"
      .. "Content-Length: " .. #body .. "\r\nX-Signature: sha256="
  end
  return head .. sign(body) .. "\r\n\r\n" .. body
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT accepted=%d seconds=%.3f refused=%d errors=%d p50_ms=%.2f p99_ms=%.2f\n",
    summary.requests - errors.status, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
