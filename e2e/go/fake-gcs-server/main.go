// A Google Cloud Storage server over a folder: fake-gcs-server, with the part of the XML API that
// it lacks and that object_store speaks, which is uploads. See xml.go.
package main

import (
	"flag"
	"log"
	"net/http"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

func main() {
	address := flag.String("address", "127.0.0.1:4443", "where to listen, and what clients call us")
	root := flag.String("root", "", "folder that holds the buckets")
	bucket := flag.String("bucket", "", "bucket to make")
	flag.Parse()

	server, err := fakestorage.NewServerWithOptions(fakestorage.Options{
		Scheme:      "http",
		StorageRoot: *root,
		ExternalURL: "http://" + *address,
		// Requests are routed by host name; without this, only storage.googleapis.com's are.
		PublicHost: *address,
		NoListener: true,
	})
	if err != nil {
		log.Fatal(err)
	}
	if *bucket != "" {
		server.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: *bucket})
	}
	log.Printf("listening on %s", *address)
	log.Fatal(http.ListenAndServe(*address, newXMLAPI(server.HTTPHandler())))
}
