-- What pages in browsers are kept from: whose host it is, which cookies are the dashboard's, who may read an answer.
--
-- Pure functions, put in front of gateway.lua with `settings`.

local COOKIE_PREFIXES = { "^__host%-http%-", "^__host%-", "^__secure%-", "^__http%-" }

-- The host of an authority in its one spelling: small letters, no port.
function host_of(authority)
  return (string.gsub(string.lower(authority or ""), ":%d+$", ""))
end

-- Whether a host is in a list of hosts, in which `.example.org` stands for all below it and `*` for all.
function is_listed(list, host)
  local found = list[host] or list["*"]
  for at in string.gmatch(host, "()%.") do
    found = found or list[string.sub(host, at)]
  end
  return found == true
end

-- Whether the dashboard is at this host, where no tenant's service may be.
function is_dashboard(host)
  return is_listed(settings.dashboards, (string.gsub(host, "%.$", "")))
end

-- Whether browsers say from where a request to this host comes: they do on https, and to this machine itself.
function is_told_about(host, scheme)
  return scheme == "https" or host == "" or host == "localhost" or host == "[::1]"
    or string.match(host, "%.localhost$") ~= nil or string.match(host, "^127%.%d+%.%d+%.%d+$") ~= nil
end

-- Whether a cookie's name is one of the dashboard's, in any spelling that a browser or a server may take for it.
function is_own_cookie(name)
  name = string.gsub(string.lower(percent_decoded(name)), '^[%s"=]+', "")
  name = string.gsub(string.gsub(name, "=.*$", ""), '[%s"]+$', "")
  for _, prefix in ipairs(COOKIE_PREFIXES) do
    name = string.gsub(name, prefix, "")
  end
  return name == "micro" or string.sub(name, 1, 6) == "micro-"
end

-- A Cookie header without the dashboard's; nil when nothing is left. Browsers put a semicolon between two cookies and
-- nowhere else, so that no quote or comma of another cookie hides one of ours.
function foreign_cookies(text)
  local kept = {}
  for pair in string.gmatch(text, "[^;]+") do
    if not is_own_cookie(pair) and string.match(pair, "%S") then
      kept[#kept + 1] = string.match(pair, "^%s*(.-)%s*$")
    end
  end
  return #kept > 0 and table.concat(kept, "; ") or nil
end

-- Whether a browser takes the last Path of a Set-Cookie, rather than the folder of the request's path. Long ones it ignores.
local function has_path(cookie)
  local valid = false
  for attribute in string.gmatch(cookie, ";([^;]*)") do
    local name, value = string.match(attribute, "^%s*([^=]*)=?%s*(.*)$")
    if string.match(string.lower(name), "^path%s*$") then
      valid = string.sub(value, 1, 1) == "/" and #attribute < 1000
    end
  end
  return valid
end

-- A Set-Cookie with every Path moved under `prefix`. Without a Path the browser takes the folder of the request's, which
-- is right as it is, but for `bare` requests: of the path `/web` itself that folder is the whole host.
function cookie_under(prefix, cookie, bare)
  cookie = string.gsub(cookie, "(;%s*[Pp][Aa][Tt][Hh]%s*=%s*)([^;]*)", function(name, value)
    local path = string.gsub(value, '^"', "")
    local is_below = path == prefix or string.sub(path, 1, #prefix + 1) == prefix .. "/"
    if is_below or string.sub(path, 1, 1) ~= "/" then
      return name .. value
    end
    return name .. prefix .. (path == "/" and "" or path)
  end)
  return (bare and not has_path(cookie)) and cookie .. "; Path=" .. prefix or cookie
end

-- A Set-Cookie for the host alone that it came from.
function cookie_of_host(cookie)
  return (string.gsub(cookie, ";%s*[Dd][Oo][Mm][Aa][Ii][Nn]%s*=[^;]*", ""))
end

-- Whom a service that lists `origins` lets read its answers, out of the origin that asks; nil for nobody.
function shown_to(origins, origin)
  for listed in string.gmatch(origin and origins or "", "[^,]+") do
    if listed == "*" or listed == origin then
      return listed
    end
  end
end
