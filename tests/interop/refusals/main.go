// Sends requests that are refused before they are read, many times, and counts the answers that do not arrive.
//
// It is Go's own client, which most programs that push images are built on: it reads an answer while it still sends, and
// loses it if the connection is reset before it has read.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// One kind of request, and the status that refuses it.
type refusal struct {
	method, path string
	login        bool
	status       int
}

// An upload that is not there; its number is filled in, since two requests for one are refused for another reason.
const absent = "/v2/app/blobs/uploads/00000000-0000-4000-8000-%012d"

func main() {
	base := flag.String("url", "", "scheme, host and port of the registry")
	authority := flag.String("ca", "", "a file with the certificate of the registry's authority")
	user := flag.String("user", "", "user:password; without one the registry is open")
	http2 := flag.Bool("http2", false, "speak HTTP/2")
	times := flag.Int("times", 200, "how often each request is sent")
	flag.Parse()

	client, err := newClient(*authority, *http2)
	if err != nil {
		fail(err)
	}
	refusals := []refusal{
		{"PATCH", absent, true, 404},
		{"POST", "/v2/UPPER/blobs/uploads/", true, 400},
		{"POST", "/v2/app/tags/list", true, 405},
	}
	if *user != "" {
		refusals = append(refusals, refusal{"PATCH", absent, false, 401})
	}
	lost := 0
	for _, refusal := range refusals {
		for _, size := range []int64{100_000, 5_000_000, 20_000_000} {
			lost += try(client, *base, *user, refusal, size, *times, 4)
		}
	}
	// A manifest that is too large is read in part, and one connection has memory for no more than a few.
	lost += try(client, *base, *user, refusal{"PUT", "/v2/app/manifests/v1", true, 413}, 5_000_000, *times, 2)
	if lost > 0 {
		fail(fmt.Errorf("%d answers were lost", lost))
	}
}

// Sends one request so often, some at once; returns how many answers did not come.
func try(client *http.Client, base, user string, refusal refusal, size int64, times, atOnce int) int {
	numbers := make(chan int)
	var group sync.WaitGroup
	var mutex sync.Mutex
	lost := 0
	for range atOnce {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := range numbers {
				refusal := refusal
				refusal.path = strings.Replace(refusal.path, "%012d", fmt.Sprintf("%012d", number), 1)
				if err := send(client, base, user, refusal, size, number%2 == 1); err != nil {
					mutex.Lock()
					if lost++; lost == 1 {
						fmt.Printf("%s %s with %d bytes: %v\n", refusal.method, refusal.path, size, err)
					}
					mutex.Unlock()
				}
			}
		}()
	}
	for number := range times {
		numbers <- number
	}
	close(numbers)
	group.Wait()
	fmt.Printf("%s %s, %d bytes: %d of %d lost\n", refusal.method, refusal.path, size, lost, times)
	return lost
}

func send(client *http.Client, base, user string, refusal refusal, size int64, chunked bool) error {
	body := io.Reader(io.LimitReader(zeros{}, size))
	request, err := http.NewRequest(refusal.method, base+refusal.path, io.NopCloser(body))
	if err != nil {
		return err
	}
	if !chunked {
		request.ContentLength = size
	}
	if user != "" && refusal.login {
		name, password, _ := strings.Cut(user, ":")
		request.SetBasicAuth(name, password)
	}
	answer, err := client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.ReadAll(answer.Body); err != nil {
		return fmt.Errorf("reading the answer's body: %w", err)
	}
	if answer.StatusCode != refusal.status {
		return fmt.Errorf("status %d, not %d", answer.StatusCode, refusal.status)
	}
	return nil
}

func newClient(authority string, http2 bool) (*http.Client, error) {
	transport := &http.Transport{ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: 4}
	if !http2 {
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
	}
	if authority != "" {
		text, err := os.ReadFile(authority)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(text) {
			return nil, errors.New("no certificate in " + authority)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return &http.Client{Transport: transport}, nil
}

type zeros struct{}

func (zeros) Read(bytes []byte) (int, error) {
	clear(bytes)
	return len(bytes), nil
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
