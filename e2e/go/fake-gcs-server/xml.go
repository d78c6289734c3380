package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"sync"
)

// xmlAPI takes the XML API's uploads, whole and in parts, and hands them on as the JSON API's.
// All else goes to the JSON API's server as it came.
type xmlAPI struct {
	json    http.Handler
	mutex   sync.Mutex
	uploads map[string]map[int][]byte
}

func newXMLAPI(handler http.Handler) *xmlAPI {
	return &xmlAPI{json: handler, uploads: map[string]map[int][]byte{}}
}

func (x *xmlAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	bucket, object, found := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	upload := query.Get("uploadId")
	switch {
	case !found || object == "" || isJSONAPI(r.URL.Path):
		x.json.ServeHTTP(w, r)
	case r.Method == http.MethodPost && query.Has("uploads"):
		x.begin(w, bucket, object)
	case r.Method == http.MethodPut && upload != "":
		x.part(w, r, upload, query.Get("partNumber"))
	case r.Method == http.MethodPost && upload != "":
		x.complete(w, r, upload, bucket, object)
	case r.Method == http.MethodDelete && upload != "":
		x.forget(upload)
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut && r.Header.Get("X-Goog-Copy-Source") == "":
		if _, ok := x.store(w, r, bucket, object, r.Body); ok {
			w.WriteHeader(http.StatusOK)
		}
	default:
		x.json.ServeHTTP(w, r)
	}
}

func isJSONAPI(path string) bool {
	for _, prefix := range []string{"/storage/v1/", "/upload/", "/download/", "/batch/", "/_internal/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// store uploads the body and sets the headers that the XML API answers with. Where it fails, it
// has answered already.
func (x *xmlAPI) store(w http.ResponseWriter, r *http.Request, bucket, object string, body io.Reader) (string, bool) {
	query := url.Values{"uploadType": {"media"}, "name": {object}}
	if generation := r.Header.Get("X-Goog-If-Generation-Match"); generation != "" {
		query.Set("ifGenerationMatch", generation)
	}
	target := url.URL{
		Scheme:   "http",
		Host:     r.Host,
		Path:     "/upload/storage/v1/b/" + bucket + "/o",
		RawQuery: query.Encode(),
	}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodPost, target.String(), body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return "", false
	}
	request.Header = r.Header.Clone()
	answer := httptest.NewRecorder()
	x.json.ServeHTTP(answer, request)
	var stored struct {
		Etag       string `json:"etag"`
		Generation string `json:"generation"`
	}
	if answer.Code != http.StatusOK {
		http.Error(w, answer.Body.String(), answer.Code)
		return "", false
	}
	if err := json.Unmarshal(answer.Body.Bytes(), &stored); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return "", false
	}
	w.Header().Set("ETag", strconv.Quote(stored.Etag))
	w.Header().Set("X-Goog-Generation", stored.Generation)
	return stored.Etag, true
}

func (x *xmlAPI) begin(w http.ResponseWriter, bucket, object string) {
	upload := rand.Text()
	x.mutex.Lock()
	x.uploads[upload] = map[int][]byte{}
	x.mutex.Unlock()
	answer(w, struct {
		XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
		Bucket   string
		Key      string
		UploadId string
	}{Bucket: bucket, Key: object, UploadId: upload})
}

func (x *xmlAPI) part(w http.ResponseWriter, r *http.Request, upload, number string) {
	index, err := strconv.Atoi(number)
	if err != nil {
		http.Error(w, "partNumber is not a number", http.StatusBadRequest)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	x.mutex.Lock()
	parts, known := x.uploads[upload]
	if known {
		parts[index] = body
	}
	x.mutex.Unlock()
	if !known {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("part-%d", index)))
}

func (x *xmlAPI) complete(w http.ResponseWriter, r *http.Request, upload, bucket, object string) {
	parts, known := x.forget(upload)
	if !known {
		http.Error(w, "no such upload", http.StatusNotFound)
		return
	}
	var numbers []int
	for number := range parts {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	var whole bytes.Buffer
	for _, number := range numbers {
		whole.Write(parts[number])
	}
	if etag, ok := x.store(w, r, bucket, object, &whole); ok {
		answer(w, struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			Bucket  string
			Key     string
			ETag    string
		}{Bucket: bucket, Key: object, ETag: etag})
	}
}

func (x *xmlAPI) forget(upload string) (map[int][]byte, bool) {
	x.mutex.Lock()
	defer x.mutex.Unlock()
	parts, known := x.uploads[upload]
	delete(x.uploads, upload)
	return parts, known
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(body)
}
