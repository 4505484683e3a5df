-- Basic credentials whose password is a token: it is put where jwt_authn looks too. Runs before jwt_authn.

local DIGITS = {}
for i = 0, 63 do
  local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
  DIGITS[string.byte(alphabet, i + 1)] = i
end

-- The bytes that base64 text stands for; the text holds nothing but digits, and `=` at its end.
function base64_decoded(text)
  local out, bits, held = {}, 0, 0
  for i = 1, #text do
    local digit = DIGITS[string.byte(text, i)]
    if digit then
      held, bits = (held * 64 + digit) % 65536, bits + 6
      if bits >= 8 then
        bits = bits - 8
        out[#out + 1] = string.char(math.floor(held / 2 ^ bits) % 256)
      end
    end
  end
  return table.concat(out)
end

-- The token in a Basic authorization; nil when there is none.
function token_in(authorization)
  local encoded = string.match(authorization, "^Basic ([%w+/]+=*)$")
  local password = encoded and string.match(base64_decoded(encoded), "^[^:]*:(.*)$")
  return password and string.match(password, "^[%w_-]+%.[%w_-]+%.[%w_-]+$")
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local shown = headers:get("authorization")
  local token = shown and token_in(shown)
  if token then
    headers:replace("x-micro-token", token)
  end
end
