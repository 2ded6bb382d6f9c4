-- Orthanc asks this before it answers any HTTP request: the account `viewer` may read DICOMweb, and nothing else.
-- Orthanc's own accounts are otherwise equal, and all may write and delete.
function IncomingHttpRequestFilter(method, uri, ip, username, httpHeaders)
  if username ~= 'viewer' then
    return true
  end
  return method == 'GET' and string.sub(uri, 1, 11) == '/dicom-web/'
end
