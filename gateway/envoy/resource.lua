-- What is called, in the words that access rules use: `Handler.Method`, or the path that a plain HTTP service will see.
--
-- Runs after the transcoder, on the routes of services that have rules. What rules are applied to must be what the service
-- takes it for: several spellings of one path are one here, and what could be read in two ways is refused.

-- `Handler.Method` of a gRPC path; nil for one that some server might read otherwise.
function method_of(path)
  local called, method = string.match(path, "^/([%w_.%-]+)/([%w_]+)$")
  if not called then
    return nil
  end
  return string.match(called, "[^.]*$") .. "." .. method
end

-- The path below `prefix` that a plain HTTP service may take this one for: decoded, without query and `;` parameters.
-- Nil for one with dot segments or control characters in it.
function page_of(path, prefix)
  local text = string.sub(string.match(path, "^[^?#]*"), #prefix + 1)
  text = string.gsub(text, "%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end)
  text = "/" .. string.gsub(string.gsub(text, "\\", "/"), ";[^/]*", "")
  text = string.gsub(text, "/+", "/")
  if string.find(text, "%c") or string.find(text .. "/", "/%.%.?/") then
    return nil
  end
  return text
end

-- From here on: Envoy's handle.

local function refuse(handle, text)
  local by_grpc = string.match(handle:headers():get("content-type") or "", "^application/grpc")
  handle:respond({ [":status"] = "400", ["grpc-status"] = by_grpc and "3" or nil }, text)
end

function envoy_on_request(handle)
  local context, path = handle:filterContext(), handle:headers():get(":path")
  local prefix = context:get("prefix")
  local endpoint
  if prefix then
    endpoint = page_of(path, prefix) or refuse(handle, "The path can be read in two ways.")
  else
    endpoint = method_of(path) or refuse(handle, 'malformed method name: "' .. path .. '"')
  end
  local found = handle:streamInfo():dynamicMetadata()
  found:set("micro", "endpoint", string.lower(endpoint))
  found:set("micro", "called", context:get("service") .. ":" .. endpoint)
end
