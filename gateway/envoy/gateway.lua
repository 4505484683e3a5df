-- Who is meant, and in which tongue: namespace and service of every request, before routes, transcoder and rules are applied.
--
-- Runs after jwt_authn (it reads the verified claims) and before the transcoder (which takes its configuration from the
-- route chosen here). Two steps, each by the header that scoped routes key on: the namespace's index says which service
-- is meant, then that service's own table has the routes. `settings` and browsers.lua are put in front by listeners.py.

local GRPC_STATUS = {
  [400] = "3", [401] = "16", [403] = "7", [404] = "5", [405] = "12", [409] = "6", [501] = "12", [503] = "14",
}
local HTTP_STATUS = {
  ["1"] = 408, ["3"] = 400, ["4"] = 408, ["5"] = 404, ["6"] = 409, ["7"] = 403, ["8"] = 429, ["9"] = 412,
  ["10"] = 409, ["11"] = 400, ["12"] = 501, ["14"] = 503, ["16"] = 401,
}
local REASONS = {
  [400] = "Bad Request", [401] = "Unauthorized", [403] = "Forbidden", [404] = "Not Found", [405] = "Method Not Allowed",
  [408] = "Request Timeout", [409] = "Conflict", [412] = "Precondition Failed", [413] = "Request Entity Too Large",
  [429] = "Too Many Requests", [500] = "Internal Server Error", [501] = "Not Implemented", [502] = "Bad Gateway",
  [503] = "Service Unavailable", [504] = "Gateway Timeout",
}
local CALLS = { PUT = true, PATCH = true, DELETE = true }  -- what means POST, unless a service has bound it itself
-- Never with credentials: a page sends a token that it has, the browser adds nothing of its own.
local CORS = { ["access-control-expose-headers"] = "Grpc-Status, Grpc-Message", ["vary"] = "Origin" }
local METHODS = "POST, PATCH, GET, OPTIONS, PUT, DELETE"
local HEADERS = "Accept, Content-Type, Content-Length, Accept-Encoding, X-CSRF-Token, Authorization, X-Grpc-Web, X-User-Agent, "
  .. "Grpc-Timeout"
-- What speaks for a whole host, which a service that is mounted below a path shares with others.
local OF_THE_HOST = { "clear-site-data", "service-worker-allowed", "strict-transport-security", "alt-svc", "nel" }

-- Pure functions: text in, text out. They are globals so that they can be tested without Envoy.

-- Whether a host is an IP address as browsers write one. (Names in brackets, or of digits alone, are no addresses.)
function is_address(host)
  return string.match(host, "^%[[%x:%.]+%]$") ~= nil or string.match(host, "^%d+%.%d+%.%d+%.%d+$") ~= nil
end

-- The namespace and the service that a host names; nil where it says nothing. The third value is a host we do not know.
function named_by_host(authority)
  local host = host_of(authority)
  if host == "" or host == settings.base or is_dashboard(host) or is_address(host) then
    return nil, nil, nil
  end
  local suffix = "." .. settings.base
  if #host <= #suffix or string.sub(host, -#suffix) ~= suffix then
    return nil, nil, host
  end
  local label = string.sub(host, 1, -#suffix - 1)
  if label == "api" or label == "proxy" then
    return nil, nil, nil
  end
  local service, namespace = string.match(label, "^(.-)%-%-(.*)$")
  if service then
    return namespace, service, nil
  end
  return label, nil, nil
end

-- The parts of a path; the query is left out.
function segments(path)
  local parts = {}
  for part in string.gmatch(string.match(path, "^[^?]*"), "[^/]+") do
    parts[#parts + 1] = part
  end
  return parts
end

-- How many leading parts of a path without dots name the service, by Micro's path table.
local function service_length(parts)
  if string.match(parts[1], "^v%d+$") and #parts >= 2 then
    return math.max(2, #parts - 2)
  end
  return math.max(1, #parts - 2)
end

-- The names that a path may mean: `rule` a gRPC service by the path table, `service` one by its plain name, `full` a proto
-- full name; and the text for "not found".
function meant_by_path(parts, grpc)
  local first = parts[1]
  local before, _ = string.match(first, "^(.*)%.([^.]*)$")
  if grpc then
    return { service = before or "", full = first, text = before or first }
  end
  if before then
    return { rule = before, service = first, full = first, text = first }
  end
  local length = service_length(parts)
  local rule = table.concat(parts, ".", 1, length)
  return { rule = rule, service = first, text = rule }
end

-- `baz-xyz` as a Go name: BazXyz.
function go_name(text)
  return (string.gsub(string.gsub("-" .. text, "%-(%w)", string.upper), "-", ""))
end

-- The gRPC path that the parts of an HTTP path mean for a service without descriptors; nil when they mean none.
function method_path(service, parts, by_host)
  local rest = {}
  local skip = 0
  if not by_host or parts[1] == service then
    skip = parts[1] == service and 1 or select(2, string.gsub(service, "%.", "")) + 1
  end
  for i = skip + 1, #parts do
    rest[#rest + 1] = parts[i]
  end
  local last = string.match(service, "[^.]*$")
  local handler, method = go_name(last), "Call"
  if #rest == 1 then
    method = go_name(rest[1])
  elseif #rest == 2 then
    handler, method = go_name(rest[1]), go_name(rest[2])
  elseif #rest > 2 then
    return nil
  end
  return "/" .. service .. "." .. handler .. "/" .. method
end

local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }

function json_text(text)
  return '"' .. string.gsub(text, '[%c"\\]', function(c)
    return ESCAPES[c] or string.format("\\u%04x", string.byte(c))
  end) .. '"'
end

function percent_decoded(text)
  return (string.gsub(text, "%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function json_literal(text)
  if text == "true" or text == "false" or text == "null" then
    return true
  end
  return string.match(text, "^%-?[1-9]%d*$") or text == "0" or string.match(text, "^%-?%d+%.%d+$") and not string.match(text, "^%-?0%d")
end

-- The names of a query or form in their order, and each one's values.
local function fields_of(text)
  local names, values = {}, {}
  for pair in string.gmatch(text or "", "[^&]+") do
    local name, value = string.match(pair, "^([^=]*)=?(.*)$")
    name = percent_decoded((string.gsub(name, "%+", " ")))
    if not values[name] then
      names[#names + 1], values[name] = name, {}
    end
    table.insert(values[name], percent_decoded((string.gsub(value, "%+", " "))))
  end
  return names, values
end

-- A form as a JSON object of texts; a repeated name's values are joined by commas. What is JSON already stays as it is:
-- `curl -d '{"name": "Joe"}'` says that it is a form.
function form_json(form)
  if string.match(form, "^%s*{.*}%s*$") then
    return form
  end
  local names, values = fields_of(form)
  local fields = {}
  for i, name in ipairs(names) do
    fields[i] = json_text(name) .. ":" .. json_text(table.concat(values[name], ","))
  end
  return "{" .. table.concat(fields, ",") .. "}"
end

-- A query as a JSON object: literals as they are, the rest as text; a repeated name makes a list.
function query_json(query)
  local names, values = fields_of(query)
  local fields = {}
  for i, name in ipairs(names) do
    local list = values[name]
    for j, value in ipairs(list) do
      list[j] = json_literal(value) and value or json_text(value)
    end
    fields[i] = json_text(name) .. ":" .. (#list == 1 and list[1] or "[" .. table.concat(list, ",") .. "]")
  end
  return "{" .. table.concat(fields, ",") .. "}"
end

-- The five bytes that go before a gRPC message of `length` bytes.
function frame_header(length)
  local function byte(shift)
    return math.floor(length / shift) % 256
  end
  return string.char(0, byte(16777216), byte(65536), byte(256), byte(1))
end

-- Takes gRPC frames off a stream that comes in any pieces: returns a function from piece to the message bytes in it.
-- Messages after the first begin on a new line.
function unframer()
  local head, left, messages = "", 0, 0
  return function(piece)
    local out, at = {}, 1
    while at <= #piece do
      if left == 0 then
        local take = math.min(5 - #head, #piece - at + 1)
        head, at = head .. string.sub(piece, at, at + take - 1), at + take
        if #head == 5 then
          local _, a, b, c, d = string.byte(head, 1, 5)
          left, head = ((a * 256 + b) * 256 + c) * 256 + d, ""
          messages = messages + 1
          if messages > 1 then
            out[#out + 1] = "\n"
          end
        end
      else
        local take = math.min(left, #piece - at + 1)
        out[#out + 1] = string.sub(piece, at, at + take - 1)
        left, at = left - take, at + take
      end
    end
    return table.concat(out)
  end
end

-- A Location as the browser must see it when the service is mounted under `prefix`.
function location_under(prefix, location, host)
  local origin, path = string.match(location, "^(%a[%w+.-]*://[^/?#]*)(.*)$")
  if not origin and string.sub(location, 1, 2) == "//" then
    origin, path = string.match(location, "^(//[^/?#]*)(.*)$")
  end
  if origin then
    if string.lower(string.match(origin, "//(.*)$")) ~= string.lower(host or "") then
      return location
    end
  else
    origin, path = "", location
    if string.sub(path, 1, 1) ~= "/" then
      return location
    end
  end
  if path == prefix or string.match(string.sub(path, 1, #prefix + 1), "[/?#]$") and string.sub(path, 1, #prefix) == prefix then
    return location
  end
  return origin .. prefix .. path
end

-- Micro's error document and its HTTP status, from a gRPC status and its message.
function error_document(status, message)
  local code = tonumber(string.match(message, '^{.*"[Cc]ode"%s*:%s*(%d+)'))
  if code and code >= 400 and code < 600 then
    return code, message
  end
  code = HTTP_STATUS[status] or 500
  return code, string.format('{"id":"","code":%d,"detail":%s,"status":%s}', code, json_text(message), json_text(REASONS[code]))
end

-- A text as the header grpc-message carries it.
function percent_encoded(text)
  return (string.gsub(text, "[^ -$&-~]", function(char) return string.format("%%%02X", string.byte(char)) end))
end

-- From here on: Envoy's handle. `respond` does not return: what follows it does not run.

local function read(handle)
  local headers = handle:headers()
  local content_type = headers:get("content-type") or ""
  local checked = handle:streamInfo():dynamicMetadata():get("envoy.filters.http.jwt_authn") or {}
  return {
    handle = handle,
    headers = headers,
    method = headers:get(":method"),
    path = headers:get(":path"),
    content_type = content_type,
    grpc = content_type == "application/grpc" or string.match(content_type, "^application/grpc[+;]") ~= nil,
    form = string.match(content_type, "^application/x%-www%-form%-urlencoded") ~= nil,
    web = headers:get("x-grpc-web") ~= nil,
    host = host_of(headers:get(":authority")),
    origin = headers:get("origin"),
    cors = settings.origins[headers:get("origin") or ""] and headers:get("origin"),  -- whom the answer shall be shown to
    claims = checked.claims,
    failure = checked.failure,
  }
end

local function with_cors(answer, origin)
  answer["access-control-allow-origin"] = origin
  for name, value in pairs(CORS) do
    answer[name] = value
  end
  return answer
end

-- The answer of a refused gRPC-web call, whole: Envoy would make up a status of its own for another.
local function web_refusal(code, detail)
  local text = string.format('{"id":"gateway","code":%d,"detail":%s,"status":%s}', code, json_text(detail), json_text(REASONS[code]))
  return {
    [":status"] = "200",
    ["content-type"] = "application/grpc",
    ["grpc-status"] = GRPC_STATUS[code],
    ["grpc-message"] = percent_encoded(text),
  }
end

local function refuse(request, code, detail)
  local answer = { [":status"] = tostring(code) }
  if request.grpc and request.web then
    answer, detail = web_refusal(code, detail), nil
  elseif request.grpc then
    answer["grpc-status"] = GRPC_STATUS[code]
  end
  if request.cors then
    with_cors(answer, request.cors)
  end
  request.handle:respond(answer, detail)
end

local function refuse_origin(request)
  refuse(request, 403, "Pages of " .. string.sub(request.origin, 1, 100) .. " may not call this.")
end

-- A service's own origins may not name a namespace: it could be another service than that which has let them in.
local function answer_preflight(request)
  if request.origin and not request.cors then
    refuse_origin(request)
  end
  local answer = { [":status"] = "200" }
  if request.cors then
    with_cors(answer, request.cors)
    answer["access-control-allow-methods"] = METHODS
    answer["access-control-allow-headers"] = settings.origins[request.origin] and HEADERS .. ", Micro-Namespace" or HEADERS
  end
  request.handle:respond(answer, "")
end

-- The dashboard's cookies are nobody's business but the dashboard's: browsers send them to every port of its host.
local function drop_own_cookies(headers)
  local kept = {}
  for i = 0, headers:getNumValues("cookie") - 1 do
    kept[#kept + 1] = foreign_cookies(headers:getAtIndex("cookie", i))
  end
  headers:remove("cookie")
  if #kept > 0 then
    headers:add("cookie", table.concat(kept, "; "))
  end
end

local function require_clean_request(request)
  if not request.path or string.sub(request.path, 1, 1) ~= "/" then
    refuse(request, 400, "The path does not begin with a slash.")
  end
  if not string.match(request.headers:get(":authority") or "", "^[%w._:%[%]-]*$") then
    refuse(request, 400, "The host is not one host.")
  end
end

-- A caller who shows a token must show a good one, except to plain HTTP services, whose tokens are their own affair.
local function require_good_token(request)
  local shown, claims = request.headers:get("authorization"), request.claims
  if shown == nil or shown == "" then
    return
  end
  local found = request.headers:get("x-micro-token")
  if found then
    shown = "Bearer " .. found  -- Basic, with a token as its password
    request.headers:replace("authorization", shown)
  end
  if string.sub(shown, 1, 7) ~= "Bearer " then
    refuse(request, 401, "invalid authorization header. expected Bearer schema")
  end
  if not claims then
    refuse(request, 401, request.failure and request.failure.message or "Jwt is not valid")
  end
  if type(claims.iss) ~= "string" or claims.iss == "" or type(claims.sub) ~= "string" or claims.sub == "" then
    refuse(request, 401, "Jwt names no account")
  end
end

-- Platform services take no request that a page may have made a browser send, but of the origins that the operator lists.
-- Pages at our own hosts are tenants': to be of the same origin is no excuse. A browser says from where it asks, by Origin or
-- Sec-Fetch-Site; not in a GET over plain http, which only a token in it excuses. A host that is none of ours may be a
-- page's own name for this machine (DNS rebinding); no page can send gRPC without saying so.
local function require_no_page(request)
  if request.origin then
    return request.cors or refuse_origin(request)
  end
  local site = request.headers:get("sec-fetch-site")
  if site and site ~= "none" then
    refuse(request, 403, "A page of another site made this request; the platform's services answer none.")
  end
  if request.stranger and not request.grpc then
    refuse(request, 403, "This server is not called " .. request.host .. "; its operator can list that name.")
  end
  local shown = request.headers:get("authorization") or ""
  local silent = (request.method == "GET" or request.method == "HEAD") and string.sub(shown, 1, 7) ~= "Bearer "
  if silent and not is_told_about(request.host, request.headers:get("x-forwarded-proto")) then
    refuse(request, 403, "Over plain http the platform's services are asked by POST, or with a token.")
  end
end

-- A bad token and a preflight, which may not carry the header that names the namespace, are told apart from "not found".
local function not_found(request, detail)
  if request.cors and request.method == "OPTIONS" and request.headers:get("access-control-request-method") then
    answer_preflight(request)
  end
  require_good_token(request)
  refuse(request, 404, detail)
end

-- The one namespace that host, header and token agree on, and the service if the host names one.
local function find_namespace(request)
  local headers = request.headers
  local named, service, foreign = named_by_host(headers:get(":authority"))
  if foreign then
    named = request.handle:filterContext():get("namespace")
    request.domain = named ~= nil
    request.stranger = not named and not is_listed(settings.hosts, foreign)
  end
  if headers:getNumValues("micro-namespace") > 1 then
    refuse(request, 400, "The header Micro-Namespace is given more than once.")
  end
  local given = headers:get("micro-namespace")
  if given == "" then
    given = nil
  end
  if named and given and named ~= given then
    refuse(request, 400, "The host names namespace " .. named .. " and the header Micro-Namespace names " .. given .. ".")
  end
  local namespace = named or given or (request.claims and request.claims.iss) or "micro"
  if not string.match(namespace, "^[%w][%w-]*$") then
    not_found(request, "There is no namespace " .. namespace .. ".")
  end
  headers:replace("micro-namespace", namespace)
  return namespace, service
end

-- Says twice which codec a gRPC payload has: grpcio's servers hide content-type from handlers, its clients cannot set it.
local function mark_codec(request)
  local headers = request.headers
  local own = headers:get("x-content-type")
  if not request.grpc then
    if own then
      headers:remove("x-content-type")
    end
  elseif string.match(request.content_type, "^application/grpc%+json") then
    headers:replace("x-content-type", "application/grpc+json")
  elseif own and not string.find(own, "json", 1, true) then
    headers:remove("x-content-type")
  elseif own then
    headers:replace("content-type", "application/grpc+json")
  end
end

-- What the gateway answers itself where no service is named: its version, an icon, and that a service must be named.
local function answer_root(request, parts)
  if request.grpc then
    if #parts < 2 or not string.find(parts[1], ".", 1, true) then
      refuse(request, 400, "service name is blank")
    end
  elseif #parts == 0 and request.method == "OPTIONS" then
    answer_preflight(request)
  elseif #parts == 0 then
    request.handle:respond({ [":status"] = "200", ["content-type"] = "application/json" }, settings.version)
  elseif parts[1] == "favicon.ico" then
    request.handle:respond({ [":status"] = "200" }, "")
  end
end

-- The package of the platform's own that the path names; nil when it names none.
local function platform_package(request, parts)
  local first = parts[1]
  local name = string.match(first, "^(.*)%.[^.]*$") or first
  if request.grpc and string.match(first, "^grpc%.") then
    return "grpc"
  end
  return settings.platform[name] and name
end

local function choose_scope(request, scope)
  request.headers:replace("x-micro-scope", scope)
  request.handle:clearRouteCache()
end

-- Asks the namespace's index by which route it takes; its metadata is the answer.
local function ask_index(request, namespace, meant)
  for name, value in pairs({ rule = meant.rule or "", service = meant.service, full = meant.full or "" }) do
    request.headers:replace("x-micro-" .. name, value)
  end
  choose_scope(request, namespace)
  local found = request.handle:metadata()
  if not found:get("namespace") then
    not_found(request, "There is no namespace " .. namespace .. ".")
  end
  local answer = {}
  for _, name in ipairs({ "service", "protocol", "frames", "verbs", "origins", "conflict" }) do
    answer[name] = found:get(name)
  end
  return answer
end

-- The service that is meant: its scope, what it speaks, and how it is to be spoken to.
local function find_service(request, namespace, service, parts)
  local package = not service and platform_package(request, parts)
  local meant = service and { service = service, text = service } or meant_by_path(parts, request.grpc)
  local found = ask_index(request, namespace, meant)
  if package then
    require_no_page(request)
    return { scope = ":" .. package, service = package, protocol = "grpc" }
  end
  if is_dashboard(request.host) then
    not_found(request, "There are no services at the host of the dashboard.")
  end
  if found.conflict then
    refuse(request, 409, found.conflict)
  end
  if not found.service then
    not_found(request, "service " .. meant.text .. ": route not found")
  end
  found.scope = namespace .. ":" .. found.service
  return found
end

local function refuse_large(request, length)
  if length and length > settings.largest then
    refuse(request, 413, "The body is larger than " .. settings.largest .. " bytes.")
  end
end

local function to_frames(request, path)
  local headers = request.headers
  request.handle:streamInfo():dynamicMetadata():set("micro", "frames", true)
  headers:replace(":path", path)
  headers:replace(":method", "POST")
  headers:replace("content-type", "application/grpc+json")
  headers:replace("x-content-type", "application/grpc+json")
  headers:replace("te", "trailers")
  headers:remove("content-length")
end

-- Makes JSON frames of a request to a service without descriptors. A body of known length is passed on as it comes.
local function send_frames(request, found, parts, by_host)
  local handle = request.handle
  local path = method_path(found.service, parts, by_host)
  if not path then
    refuse(request, 404, "service " .. found.service .. " has no such path")
  end
  local length = tonumber(request.headers:get("content-length") or "")
  refuse_large(request, length)
  to_frames(request, path)
  if request.method == "GET" or length == 0 then
    local message = query_json(string.match(request.path, "%?(.*)$"))
    handle:body(true):setBytes(frame_header(#message) .. message)
  elseif length and not request.form then
    local before = frame_header(length)
    for chunk in handle:bodyChunks() do
      if before then
        chunk:setBytes(before .. chunk:getBytes(0, chunk:length()))
        before = nil
      end
    end
  else
    local body = handle:body(true)
    local message = body:getBytes(0, body:length())
    message = request.form and form_json(message) or message == "" and "{}" or message
    body:setBytes(frame_header(#message) .. message)
  end
end

local function send_form(request)
  request.headers:replace("content-type", "application/json")  -- what was read before a wait is gone after it
  local body = request.handle:body(true)
  body:setBytes(form_json(body:getBytes(0, body:length())))
end

-- Holds a JSON body to the size of the largest message: the transcoder keeps what it has read of a message, without limit.
-- What comes without a length is cut off there; then it is no JSON, and the transcoder says so.
local function limit_body(request)
  local length = tonumber(request.headers:get("content-length") or "")
  refuse_large(request, length)
  if length then
    return
  end
  local taken = 0
  for chunk in request.handle:bodyChunks() do
    taken = taken + chunk:length()
    if taken > settings.largest then
      chunk:setBytes("")
    end
  end
end

-- A gRPC service, called by gRPC or in JSON.
local function send_to_grpc(request, found, parts, by_host)
  request.cors = request.cors or shown_to(found.origins, request.origin)
  if request.method == "OPTIONS" then
    answer_preflight(request)
  end
  require_good_token(request)
  choose_scope(request, found.scope)
  local noted = request.handle:streamInfo():dynamicMetadata()
  if request.cors then  -- also a gRPC call's: what a browser sent as gRPC-web has become one
    noted:set("micro", "origin", request.cors)
  end
  noted:set("micro", "place", by_host and "own" or "shared")
  if request.grpc then
    return
  end
  if not found.verbs and CALLS[request.method] then
    request.headers:replace(":method", "POST")
  end
  if found.frames then
    send_frames(request, found, parts, by_host)
  elseif request.form then
    send_form(request)
  else
    limit_body(request)
  end
end

local function send_to_http(request, found)
  if request.grpc then
    refuse(request, 501, "service " .. found.service .. " speaks HTTP, not gRPC")
  end
  local noted = request.handle:streamInfo():dynamicMetadata()
  noted:set("micro", "host", request.headers:get(":authority"))
  noted:set("micro", "place", request.domain and "domain" or "own")
  noted:set("micro", "bare", string.match(request.path, "^/[^/?#]*/") == nil)
  choose_scope(request, found.scope)
end

function envoy_on_request(handle)
  local request = read(handle)
  require_clean_request(request)
  drop_own_cookies(request.headers)
  local namespace, service = find_namespace(request)
  mark_codec(request)
  local parts = segments(request.path)
  if not service then
    answer_root(request, parts)
  end
  local found = find_service(request, namespace, service, parts)
  if found.protocol == "grpc" then
    send_to_grpc(request, found, parts, service ~= nil)
  else
    send_to_http(request, found)
  end
end

-- What a service sets in a browser is for its own host and below its own path, and never under one of our names.
-- A gRPC service has no path of its own: where it shares a host it sets no cookies.
local function guard_cookies(headers, mine, prefix)
  local cookies = {}
  for i = 0, headers:getNumValues("set-cookie") - 1 do
    local cookie = headers:getAtIndex("set-cookie", i)
    if mine.place ~= "shared" and not is_own_cookie(string.match(cookie, "^[^;]*")) then
      cookie = mine.place == "domain" and cookie or cookie_of_host(cookie)
      cookies[#cookies + 1] = prefix and cookie_under(prefix, cookie, mine.bare) or cookie
    end
  end
  headers:remove("set-cookie")
  for _, cookie in ipairs(cookies) do
    headers:add("set-cookie", cookie)
  end
end

-- Takes away what a service says about a host that is not its own alone; cookies are cleared for the whole base domain.
local function guard_host(headers, mine, prefix)
  for _, name in ipairs(prefix and OF_THE_HOST or mine.place ~= "domain" and { "clear-site-data" } or {}) do
    headers:remove(name)
  end
end

local function mount(headers, prefix, host)
  for _, name in ipairs({ "location", "content-location" }) do
    local location = headers:get(name)
    if location then
      headers:replace(name, location_under(prefix, location, host))
    end
  end
end

local function answer_error(handle, headers, status)
  local code, document = error_document(status, percent_decoded(headers:get("grpc-message") or ""))
  headers:replace(":status", tostring(code))
  headers:replace("content-type", "application/json")
  headers:remove("grpc-message")
  headers:remove("grpc-status")
  headers:remove("grpc-status-details-bin")
  headers:remove("content-length")
  handle:body(true):setBytes(document)
end

function envoy_on_response(handle)
  local headers = handle:headers()
  local about = handle:metadata()
  local mine = handle:streamInfo():dynamicMetadata():get("micro") or {}
  local prefix = about:get("prefix")
  guard_cookies(headers, mine, prefix)
  guard_host(headers, mine, prefix)
  if about:get("protocol") == "http" then
    if prefix then
      mount(headers, prefix, mine.host)
    end
    return
  end
  if mine.origin then
    headers:remove("access-control-allow-credentials")
    headers:replace("access-control-allow-origin", mine.origin)
    for name, value in pairs(CORS) do
      headers:replace(name, value)
    end
  end
  local status = headers:get("grpc-status")
  if mine.frames then
    if status and status ~= "0" then
      answer_error(handle, headers, status)
    elseif string.match(headers:get("content-type") or "", "^application/grpc") then
      headers:replace("content-type", "application/json")
      local message = unframer()
      for chunk in handle:bodyChunks() do
        chunk:setBytes(message(chunk:getBytes(0, chunk:length())))
      end
    end
  elseif status and status ~= "0" and headers:get(":status") ~= "200" then  -- the transcoder has set it: not for a gRPC client
    answer_error(handle, headers, status)
  end
end
